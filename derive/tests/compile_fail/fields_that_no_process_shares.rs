use pshared::ShmSafe;

#[derive(ShmSafe)]
#[repr(C)]
struct Job<T: 'static> {
    pair: (u32, T),
    name: &'static str,
    parts: [&'static [u8]; 4],
    next: *const Job<T>,
    run: fn(T),
    rest: [T],
}

#[derive(ShmSafe)]
#[repr(transparent)]
struct Shown(dyn Send);

fn main() {}
