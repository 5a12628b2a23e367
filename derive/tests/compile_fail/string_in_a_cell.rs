use pshared::ShmSafe;

#[derive(ShmSafe)]
#[repr(C)]
struct Job {
    id: u32,
    name: String,
}

fn main() {}
