use pshared::ShmData;

#[derive(ShmData)]
#[repr(C)]
struct Job(Box<u32>);

fn main() {}
