//! `ShmVec`, with `Vec` as the model.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::collection::vec;
use proptest::prelude::*;
use pshared::{CapacityError, Error, Field, ShmData, ShmSafe, ShmString, ShmVec, Type};

use crate::{Outcome, any_bytes, assert_same, bytes_of, from_bytes, mixture, observe, observe_model};

const LIST: usize = 6;
type List = ShmVec<u32, LIST>;

#[derive(Clone, Debug)]
enum Change {
    Push(u32),
    ExtendFromSlice(Vec<u32>),
    Pop,
    Insert(usize, u32),
    Remove(usize),
    SwapRemove(usize),
    Truncate(usize),
    Clear,
    Retain(u32),
    Sort,
    AddThroughIterator(u32),
    Set(usize, u32),
}

fn change() -> impl Strategy<Value = Change> {
    let index = || 0..LIST + 2;
    prop_oneof![
        3 => any::<u32>().prop_map(Change::Push),
        1 => vec(any::<u32>(), 0..4).prop_map(Change::ExtendFromSlice),
        1 => Just(Change::Pop),
        2 => (index(), any::<u32>()).prop_map(|(i, n)| Change::Insert(i, n)),
        1 => index().prop_map(Change::Remove),
        1 => index().prop_map(Change::SwapRemove),
        1 => index().prop_map(Change::Truncate),
        1 => Just(Change::Clear),
        1 => (1..4u32).prop_map(Change::Retain),
        1 => Just(Change::Sort),
        1 => any::<u32>().prop_map(Change::AddThroughIterator),
        1 => (index(), any::<u32>()).prop_map(|(i, n)| Change::Set(i, n)),
    ]
}

/// A push or insert as `Result<Option<u32>, Error>`, having looked at what the error gives back.
fn nothing_lost(result: Result<(), CapacityError<u32>>, item: u32) -> Result<Option<u32>, Error> {
    match result {
        Ok(()) => Ok(None),
        Err(full) => {
            assert_eq!(full.into_inner(), item);
            Err(Error::Full { what: "an item", capacity: LIST, needed: LIST + 1 })
        }
    }
}

fn change_list(list: &mut List, change: &Change) -> Outcome<Option<u32>> {
    observe(|| {
        match change {
            Change::Push(n) => return nothing_lost(list.push(*n), *n),
            Change::ExtendFromSlice(items) => list.extend_from_slice(items)?,
            Change::Pop => return Ok(list.pop()),
            Change::Insert(i, n) => return nothing_lost(list.insert(*i, *n), *n),
            Change::Remove(i) => return Ok(Some(list.remove(*i))),
            Change::SwapRemove(i) => return Ok(Some(list.swap_remove(*i))),
            Change::Truncate(len) => list.truncate(*len),
            Change::Clear => list.clear(),
            Change::Retain(n) => list.retain(|item| item % n == 0),
            Change::Sort => list.sort(),
            Change::AddThroughIterator(n) => list.into_iter().for_each(|item| *item = item.wrapping_add(*n)),
            Change::Set(i, n) => list[*i] = *n,
        }
        Ok(None)
    })
}

fn change_model(model: &mut Vec<u32>, change: &Change) -> Outcome<Option<u32>> {
    observe_model(
        model,
        |m| m.len() <= LIST,
        |m| {
            match change {
                Change::Push(n) => m.push(*n),
                Change::ExtendFromSlice(items) => m.extend_from_slice(items),
                Change::Pop => return m.pop(),
                Change::Insert(i, n) => m.insert(*i, *n),
                Change::Remove(i) => return Some(m.remove(*i)),
                Change::SwapRemove(i) => return Some(m.swap_remove(*i)),
                Change::Truncate(len) => m.truncate(*len),
                Change::Clear => m.clear(),
                Change::Retain(n) => m.retain(|item| item % n == 0),
                Change::Sort => m.sort(),
                Change::AddThroughIterator(n) => m.iter_mut().for_each(|item| *item = item.wrapping_add(*n)),
                Change::Set(i, n) => m[*i] = *n,
            }
            None
        },
    )
}

fn assert_holds(list: &mut List, model: &[u32]) {
    assert_eq!(list.as_slice(), model);
    assert_eq!((list.len(), list.is_empty(), list.capacity()), (model.len(), model.is_empty(), LIST));
    assert_eq!(list.is_full(), model.len() == LIST);
    assert_eq!(format!("{list:?}"), format!("{model:?}"));
    assert!((&*list).into_iter().eq(model));
    let (borrowed, as_ref): (&[u32], &[u32]) = ((*list).borrow(), list.as_ref());
    assert_eq!((borrowed, as_ref), (model, model));
    let as_mut: &mut [u32] = list.as_mut();
    assert_eq!(as_mut, model);
    assert_same(list, model, *list);
}

proptest! {
    #[test]
    fn a_list_does_what_vec_does(changes in vec(change(), 0..60)) {
        let (mut list, mut model) = (List::new(), Vec::new());
        for change in &changes {
            assert_eq!(change_list(&mut list, change), change_model(&mut model, change), "{change:?}");
            assert_holds(&mut list, &model);
        }
    }

    #[test]
    fn a_list_of_any_bytes_has_at_most_its_capacity_and_works_on_from_there(
        bytes in any_bytes(size_of::<List>()),
        changes in vec(change(), 0..10),
    ) {
        let mut list: List = from_bytes(&bytes);
        let words: Vec<u32> = bytes.chunks(4).map(|w| u32::from_ne_bytes([w[0], w[1], w[2], w[3]])).collect();
        let mut model = words[1..][..(words[0] as usize).min(LIST)].to_vec();
        assert_holds(&mut list, &model);
        for change in &changes {
            assert_eq!(change_list(&mut list, change), change_model(&mut model, change), "{change:?}");
            assert_holds(&mut list, &model);
        }
    }

    #[test]
    fn a_mixture_of_two_lists_holds_valid_items_whatever_its_length(
        a in vec(entry(), 0..=300), b in vec(entry(), 0..=300), from_a in vec(any::<bool>(), size_of::<Long>()),
    ) {
        let (a, b) = (long(&a), long(&b));
        let mixed: Long = from_bytes(&mixture(bytes_of(&a), bytes_of(&b), &from_a));
        assert!(mixed.len() <= 300);
        for item in &mixed {
            // The bytes, not the values: the compiler takes it for granted that those are valid.
            let bytes = bytes_of(item);
            assert!([0, 7, 200].contains(&bytes[2]) && bytes[3] <= 1, "{bytes:?}");
        }
    }
}

/// Long enough for lengths of two bytes: 256 and 44 mix into 300, which neither list ever had.
type Long = ShmVec<Entry, 300>;

fn long(items: &[Entry]) -> Long {
    let mut list = Long::new();
    list.try_extend(items.iter().copied()).unwrap();
    list
}

#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Level {
    Off = 0,
    Low = 7,
    High = 200,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Entry {
    id: u16,
    level: Level,
    done: bool,
}

// SAFETY: an enum of one byte without fields, described as it is.
unsafe impl ShmSafe for Level {
    const TYPE: Type = Type::fieldless_enum::<Self>("Level", "u8", &[("Off", 0), ("Low", 7), ("High", 200)]);
}
// SAFETY: one byte can't be mixed.
unsafe impl ShmData for Level {}
// SAFETY: repr(C) of integers, described as it is.
unsafe impl ShmSafe for Entry {
    const TYPE: Type = Type::structure::<Self>(
        "Entry",
        const { &[Field::new::<u16>("id", 0), Field::new::<Level>("level", 2), Field::new::<bool>("done", 3)] },
    );
}
// SAFETY: all its fields are ShmData.
unsafe impl ShmData for Entry {}

fn entry() -> impl Strategy<Value = Entry> {
    let level = prop_oneof![Just(Level::Off), Just(Level::Low), Just(Level::High)];
    (any::<u16>(), level, any::<bool>()).prop_map(|(id, level, done)| Entry { id, level, done })
}

/// Data that can't be cloned.
#[derive(Debug, PartialEq)]
#[repr(C)]
struct Ticket(u64);

// SAFETY: repr(C) of one integer, described as it is.
unsafe impl ShmSafe for Ticket {
    const TYPE: Type = Type::structure::<Self>("Ticket", const { &[Field::new::<u64>("0", 0)] });
}
// SAFETY: an integer.
unsafe impl ShmData for Ticket {}

#[test]
fn items_need_not_be_clone() {
    let mut list = ShmVec::<Ticket, 2>::new();
    list.push(Ticket(1)).unwrap();
    list.insert(0, Ticket(2)).unwrap();
    assert_eq!(list.push(Ticket(3)).unwrap_err().into_inner(), Ticket(3));
    assert_eq!(list.insert(1, Ticket(4)).unwrap_err().into_inner(), Ticket(4));
    assert_eq!(list, [Ticket(2), Ticket(1)]);
    assert_eq!((list.swap_remove(0), list.pop(), list.pop()), (Ticket(2), Some(Ticket(1)), None));
}

#[test]
fn extending_by_an_iterator_keeps_what_fits_and_loses_nothing() {
    let mut list = ShmVec::<u8, 3>::new();
    let mut items = 1..=6;
    assert_eq!(list.try_extend(items.by_ref()).unwrap_err().into_inner(), 4);
    assert_eq!(list, [1, 2, 3]);
    assert!(items.eq(5..=6));
}

#[test]
fn a_list_that_is_too_long_says_by_how_much() {
    let error = ShmVec::<u8, 2>::try_from(&[1, 2, 3, 4, 5][..]).unwrap_err();
    assert_eq!(error, Error::Full { what: "items in a ShmVec", capacity: 2, needed: 5 });
    let full = ShmVec::<u8, 0>::new().push(1).unwrap_err();
    assert_eq!(full.to_string(), "no room for 1 items in a ShmVec of capacity 0; store less, or declare a larger one");
    assert!(format!("{full:?}").contains("capacity: 0") && full.source().is_none());
    assert_eq!(Error::from(full), Error::Full { what: "items in a ShmVec", capacity: 0, needed: 1 });
}

#[test]
fn nothing_fits_into_a_capacity_of_0() {
    let mut text = ShmString::<0>::new();
    assert!(text.push('a').is_err() && text.push_str("").is_ok() && text.pop().is_none());
    assert_eq!((text.as_str(), text.capacity()), ("", 0));
    let mut list = ShmVec::<u64, 0>::new();
    assert!(list.is_empty() && list.is_full() && list.pop().is_none());
    assert!(list.push(1).is_err() && list.insert(0, 1).is_err() && list.extend_from_slice(&[]).is_ok());
    list.retain(|_| false);
    assert_eq!(list, [0u64; 0]);
}

#[test]
fn items_of_no_size_are_counted() {
    let mut list = ShmVec::<(), 3>::new();
    list.extend_from_slice(&[(), ()]).unwrap();
    assert_eq!((list.len(), list.pop(), list.len()), (2, Some(()), 1));
    // So many that the sum of the lengths overflows.
    assert!(matches!(
        list.extend_from_slice(&[(); usize::MAX]),
        Err(Error::Full { capacity: 3, needed: usize::MAX, .. })
    ));
}

#[test]
fn a_keep_that_panics_removes_nothing() {
    let mut list = ShmVec::<u8, 5>::try_from(&[1, 2, 3, 4, 5][..]).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        list.retain(|n| if *n == 4 { panic!("at {n}") } else { n % 2 == 0 });
    }));
    assert!(panicked.is_err());
    list.sort();
    assert_eq!(list, [1, 2, 3, 4, 5]);
}

#[test]
fn lists_compare_as_slices() {
    let list = ShmVec::<u8, 4>::try_from(&[1, 2][..]).unwrap();
    let longer = ShmVec::<u8, 9>::try_from(&[1, 2, 0][..]).unwrap();
    let (array, slice) = (&[1, 2], &[1, 2][..]);
    assert!(list == *array && list == array && list == *slice && list == slice && list == vec![1, 2]);
    assert!(list != longer && list < longer);
    assert_eq!(HashMap::from([(list, 1)]).get(&[1, 2][..]), Some(&1));
}

#[test]
fn a_clone_has_the_items_and_not_what_was_removed() {
    let mut list = ShmVec::<u32, 3>::try_from(&[1, 2, 3][..]).unwrap();
    list.truncate(1);
    assert_eq!(bytes_of(&list), [1u32, 1, 2, 3].map(u32::to_ne_bytes).concat());
    #[allow(clippy::clone_on_copy)] // the clone is what is tested
    let clone = list.clone();
    assert_eq!(bytes_of(&clone), [1u32, 1, 0, 0].map(u32::to_ne_bytes).concat());
    assert_eq!(clone, list);
}
