//! What the examples share: workers that are processes, the memory they meet in, and changes that can be cut short.
//!
//! - `undo.rs`: a value whose change, cut short by a death, is undone. The heart of it, with `named.rs`.
//! - `crew.rs`: worker processes to start, to kill and to replace.
//! - `kills.rs`: when to kill. `progress.rs`: a bar on the terminal.
#![allow(dead_code, unused_imports, reason = "no example uses all of it")]

mod crew;
mod kills;
mod named;
mod progress;
mod undo;

pub use crew::{Crew, Post};
pub use kills::{Kills, random};
pub use named::Named;
pub use progress::progress_bar;
pub use undo::Undo;
