use pshared::ShmData;

#[derive(ShmData)]
#[repr(C)]
struct Job {
    lists: [Vec<u32>; 2],
}

fn main() {}
