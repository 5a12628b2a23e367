use pshared::{Mutex, ShmData};

#[derive(ShmData)]
#[repr(C)]
struct Job {
    inner: Mutex<u32>,
}

fn main() {}
