use std::marker::PhantomData;
use std::sync::atomic::AtomicU32;

use pshared::{ShmData, ShmSafe};

#[derive(ShmSafe)]
#[repr(C)]
struct AtomicIndex<T> {
    index: AtomicU32,
    of: PhantomData<T>,
}

#[derive(ShmData)]
#[repr(C)]
struct Node<T> {
    value: T,
    next: AtomicIndex<Node<T>>,
}

fn main() {}
