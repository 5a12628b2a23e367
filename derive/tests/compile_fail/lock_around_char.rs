use pshared::{Mutex, ShmSafe};

#[derive(ShmSafe)]
#[repr(C)]
struct Job {
    letter: Mutex<char>,
}

fn main() {}
