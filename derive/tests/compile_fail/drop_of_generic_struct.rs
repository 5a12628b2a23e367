use pshared::ShmData;

#[derive(ShmData)]
#[repr(C)]
struct Job<T> {
    id: T,
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {}
}

// Only here: it has a destructor for each `T`.
const _: u64 = <Job<u32> as pshared::ShmSafe>::TYPE.fingerprint();

fn main() {}
