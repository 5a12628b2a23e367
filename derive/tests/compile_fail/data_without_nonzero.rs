use std::num::NonZeroU32;

use pshared::ShmData;

#[derive(ShmData)]
#[repr(C)]
struct Job {
    id: NonZeroU32,
}

fn main() {}
