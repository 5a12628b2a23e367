//! What a `ShmString` and a `ShmVec` are in memory, and how their types describe it.

use std::array;
use std::mem::offset_of;

use pshared::{Field, ShmSafe, ShmString, ShmVec, Type};

use crate::bytes_of;

#[test]
fn zeros_are_empty_and_new_is_const() {
    static TEXT: ShmString<20> = ShmString::new();
    static LIST: ShmVec<u32, 4> = ShmVec::new();
    assert_eq!(bytes_of(&TEXT), [0; 24]);
    assert_eq!(bytes_of(&LIST), [0; 20]);
    assert!(TEXT.is_empty() && LIST.is_empty());
    assert!(ShmString::<20>::default().is_empty() && ShmVec::<u32, 4>::default().is_empty());
}

#[test]
fn the_length_comes_first_and_the_rest_in_order() {
    let text: ShmString<8> = "ab".parse().unwrap();
    assert_eq!(bytes_of(&text), [&2u32.to_ne_bytes()[..], b"ab\0\0\0\0\0\0"].concat());
    let list = ShmVec::<u16, 4>::try_from(&[1, 2][..]).unwrap();
    assert_eq!(bytes_of(&list), [&2u32.to_ne_bytes()[..], &[1u16, 2, 0, 0].map(u16::to_ne_bytes).concat()].concat());
}

#[test]
fn the_types_describe_what_is_in_memory() {
    #[repr(C)]
    struct Mirror<T> {
        len: u32,
        items: [T; 8],
    }
    let text = Type::structure::<Mirror<u8>>(
        "ShmString",
        const { &[Field::new::<u32>("len", 0), Field::new::<[u8; 8]>("bytes", offset_of!(Mirror<u8>, items))] },
    );
    let list = Type::structure::<Mirror<u64>>(
        "ShmVec",
        const { &[Field::new::<u32>("len", 0), Field::new::<[u64; 8]>("items", offset_of!(Mirror<u64>, items))] },
    );
    assert_eq!(offset_of!(Mirror<u64>, len), 0);
    assert_eq!(ShmString::<8>::TYPE.fingerprint(), text.fingerprint());
    assert_eq!(ShmVec::<u64, 8>::TYPE.fingerprint(), list.fingerprint());
}

#[test]
fn another_capacity_or_item_type_is_another_fingerprint() {
    let prints: [u64; 6] = [
        ShmString::<8>::TYPE.fingerprint(),
        ShmString::<9>::TYPE.fingerprint(),
        ShmVec::<u8, 8>::TYPE.fingerprint(),
        ShmVec::<i8, 8>::TYPE.fingerprint(),
        ShmVec::<u8, 9>::TYPE.fingerprint(),
        <[u8; 12]>::TYPE.fingerprint(),
    ];
    for (i, print) in prints.iter().enumerate() {
        assert!(!prints[..i].contains(print), "{i}");
    }
}

#[test]
fn lists_and_strings_nest() {
    let mut lines = ShmVec::<ShmString<8>, 3>::new();
    for line in ["one", "two"] {
        lines.push(line.parse().unwrap()).unwrap();
    }
    lines[0].push('!').unwrap();
    assert_eq!(lines, ["one!", "two"]);
    let grid: [ShmVec<ShmVec<u8, 2>, 2>; 2] = array::from_fn(|_| ShmVec::new());
    assert!(grid.iter().all(|row| row.is_empty()));
}
