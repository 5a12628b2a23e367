use pshared::ShmSafe;

#[derive(ShmSafe)]
#[repr(C, packed(2))]
struct Counter {
    count: u32,
}

fn main() {}
