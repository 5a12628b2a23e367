use pshared::{ShmData, ShmSafe};

#[derive(ShmSafe)]
#[repr(C)]
struct Inner {
    count: u32,
}

#[derive(ShmData)]
#[repr(C)]
struct Job {
    inner: Inner,
}

fn main() {}
