use std::sync::atomic::AtomicU32;

use pshared::ShmData;

#[derive(ShmData)]
#[repr(C)]
struct Job {
    count: AtomicU32,
}

fn main() {}
