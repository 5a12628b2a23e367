use pshared::ShmData;

#[derive(ShmData)]
#[repr(C)]
struct Job {
    letter: char,
}

fn main() {}
