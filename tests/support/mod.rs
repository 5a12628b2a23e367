//! What the tests share.
#![allow(dead_code, unused_imports, unused_macros, reason = "no test file uses all of it")]

pub mod child;
pub mod claims;
pub mod fenced;
pub mod kill_points;
pub mod no_waitv;
pub mod place;
pub mod plain_lock;
pub mod plans;
pub mod random;
pub mod remains;
pub mod schedule;
pub mod state;
pub mod stepper;
pub mod symbol;
pub mod watchdog;
