//! What the tests share.
#![allow(dead_code, reason = "no test file uses all of it")]

pub mod child;
pub mod place;
pub mod schedule;
pub mod stepper;
