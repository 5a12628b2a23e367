use pshared::ShmSafe;

#[derive(ShmSafe)]
#[repr(align(64))]
struct Counter {
    count: u32,
}

fn main() {}
