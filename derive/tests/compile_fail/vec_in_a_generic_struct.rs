use pshared::ShmSafe;

#[derive(ShmSafe)]
#[repr(C)]
struct Jobs<T> {
    waiting: Vec<T>,
}

fn in_a_cell<T: ShmSafe>() {}

fn main() {
    // Only here: another crate might make some `Vec<T>` a `ShmSafe`, for all that the derive knows.
    in_a_cell::<Jobs<u32>>();
}
