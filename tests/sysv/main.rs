//! What is special about the backend on SysV semaphores: its sets can be taken away by anybody, and outlive everybody.

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod healing;
mod raw;
mod stage;
mod sweeping;
mod undo;
