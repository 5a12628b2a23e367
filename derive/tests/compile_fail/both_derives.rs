use pshared::{ShmData, ShmSafe};

#[derive(ShmData, ShmSafe)]
#[repr(C)]
struct Job {
    id: u32,
}

fn main() {}
