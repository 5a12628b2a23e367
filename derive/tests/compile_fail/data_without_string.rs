use pshared::ShmData;

#[derive(ShmData)]
#[repr(C)]
struct Job {
    id: u32,
    name: String,
}

fn main() {}
