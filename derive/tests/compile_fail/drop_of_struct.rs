use pshared::ShmSafe;

#[derive(ShmSafe)]
#[repr(C)]
struct Job {
    id: u32,
}

impl Drop for Job {
    fn drop(&mut self) {}
}

fn main() {}
