use std::marker::PhantomData;

use pshared::ShmSafe;

#[derive(ShmSafe)]
#[repr(C)]
struct Borrowed<'a> {
    of: PhantomData<&'a u32>,
}

fn main() {}
