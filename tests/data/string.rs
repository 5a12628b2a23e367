//! `ShmString`, with `String` as the model.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::string::string_regex;
use pshared::{Error, ShmString};

use crate::{Outcome, any_bytes, assert_same, bytes_of, from_bytes, mixture, observe, observe_model};

const TEXT: usize = 12;
type Text = ShmString<TEXT>;

#[derive(Clone, Debug)]
enum Edit {
    Push(char),
    PushStr(String),
    Pop,
    Truncate(usize),
    Clear,
    Insert(usize, char),
    InsertStr(usize, String),
    Remove(usize),
    Write(u32),
    Uppercase,
}

/// As `any_bytes`, but mostly text, with characters of every width, so that tears fall among them.
fn texty_bytes(size: usize) -> impl Strategy<Value = Vec<u8>> {
    let (len, text) = (0..(size as u32 + 2), format!("[a-zß€🦀]{{{size}}}"));
    (len, string_regex(&text).unwrap(), vec((0..size, any::<u8>()), 0..3)).prop_map(move |(len, text, spots)| {
        let mut bytes = text.into_bytes();
        bytes.truncate(size);
        for (at, byte) in spots {
            bytes[at] = byte;
        }
        bytes[..4].copy_from_slice(&len.to_ne_bytes());
        bytes
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    let index = || 0..TEXT + 3;
    prop_oneof![
        any::<char>().prop_map(Edit::Push),
        "[a-zß€🦀]{0,5}".prop_map(Edit::PushStr),
        Just(Edit::Pop),
        index().prop_map(Edit::Truncate),
        Just(Edit::Clear),
        (index(), any::<char>()).prop_map(|(i, c)| Edit::Insert(i, c)),
        (index(), "[a-zß€🦀]{0,4}").prop_map(|(i, s)| Edit::InsertStr(i, s)),
        index().prop_map(Edit::Remove),
        any::<u32>().prop_map(Edit::Write),
        Just(Edit::Uppercase),
    ]
}

fn edit_text(text: &mut Text, edit: &Edit) -> Outcome<Option<char>> {
    observe(|| match edit {
        Edit::Push(c) => text.push(*c).map(|()| None),
        Edit::PushStr(s) => text.push_str(s).map(|()| None),
        Edit::Pop => Ok(text.pop()),
        Edit::Truncate(len) => {
            text.truncate(*len);
            Ok(None)
        }
        Edit::Clear => {
            text.clear();
            Ok(None)
        }
        Edit::Insert(i, c) => text.insert(*i, *c).map(|()| None),
        Edit::InsertStr(i, s) => text.insert_str(*i, s).map(|()| None),
        Edit::Remove(i) => Ok(Some(text.remove(*i))),
        // One piece: fmt::Write would write the pieces that fit.
        Edit::Write(n) => match text.write_str(&n.to_string()) {
            Ok(()) => Ok(None),
            Err(_) => Err(Error::Full { what: "fmt::Error", capacity: 0, needed: 1 }),
        },
        Edit::Uppercase => {
            text.make_ascii_uppercase();
            Ok(None)
        }
    })
}

fn edit_model(model: &mut String, edit: &Edit) -> Outcome<Option<char>> {
    observe_model(
        model,
        |m| m.len() <= TEXT,
        |m| {
            match edit {
                Edit::Push(c) => m.push(*c),
                Edit::PushStr(s) => m.push_str(s),
                Edit::Pop => return m.pop(),
                Edit::Truncate(len) => m.truncate(*len),
                Edit::Clear => m.clear(),
                Edit::Insert(i, c) => m.insert(*i, *c),
                Edit::InsertStr(i, s) => m.insert_str(*i, s),
                Edit::Remove(i) => return Some(m.remove(*i)),
                Edit::Write(n) => m.push_str(&n.to_string()),
                Edit::Uppercase => m.make_ascii_uppercase(),
            }
            None
        },
    )
}

/// The longest prefix that is UTF-8, found the slow way.
fn longest_text(bytes: &[u8]) -> &str {
    (0..=bytes.len()).rev().find_map(|len| str::from_utf8(&bytes[..len]).ok()).unwrap_or_default()
}

fn assert_reads_as(text: &mut Text, model: &str) {
    assert!(str::from_utf8(text.as_bytes()).is_ok());
    assert_eq!(text.as_str(), model);
    assert_eq!((text.len(), text.is_empty(), text.capacity()), (model.len(), model.is_empty(), TEXT));
    assert_eq!(text.as_mut_str(), model);
    assert_eq!((text.to_string(), format!("{text:?} {text:>20}")), (model.into(), format!("{model:?} {model:>20}")));
    assert!(text.stored_bytes().starts_with(model.as_bytes()));
    let (bytes, borrowed, as_ref): (&[u8], &str, &str) = (text.as_ref(), (*text).borrow(), text.as_ref());
    assert_eq!((bytes, borrowed, as_ref), (model.as_bytes(), model, model));
    assert_same(text, model, *text);
}

proptest! {
    #[test]
    fn a_string_does_what_string_does(edits in vec(edit(), 0..40)) {
        let (mut text, mut model) = (Text::new(), String::new());
        for edit in &edits {
            assert_eq!(edit_text(&mut text, edit), edit_model(&mut model, edit), "{edit:?}");
            assert_reads_as(&mut text, &model);
        }
    }

    #[test]
    fn a_string_of_any_bytes_is_their_longest_valid_text_and_works_on_from_there(
        bytes in prop_oneof![any_bytes(size_of::<Text>()), texty_bytes(size_of::<Text>())],
        edits in vec(edit(), 0..10),
    ) {
        let mut text: Text = from_bytes(&bytes);
        let len = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let stored = &bytes[4..][..len.min(TEXT)];
        assert_eq!(text.stored_bytes(), stored);
        let mut model = longest_text(stored).to_string();
        assert_reads_as(&mut text, &model);
        for edit in &edits {
            assert_eq!(edit_text(&mut text, edit), edit_model(&mut model, edit), "{edit:?}");
            assert_reads_as(&mut text, &model);
        }
    }

    #[test]
    fn a_mixture_of_two_strings_is_text(a in "[a-zß€🦀]{0,12}", b in "[a-zß€🦀]{0,12}", mix in vec(any::<bool>(), 20)) {
        let (a, b) = (ShmString::<16>::try_from(cut(&a, 16)).unwrap(), ShmString::<16>::try_from(cut(&b, 16)).unwrap());
        let mixed: ShmString<16> = from_bytes(&mixture(bytes_of(&a), bytes_of(&b), &mix));
        assert!(str::from_utf8(mixed.as_bytes()).is_ok());
        assert!(mixed.len() <= 16);
    }
}

/// As much of `text` as fits.
fn cut(text: &str, len: usize) -> &str {
    longest_text(&text.as_bytes()[..text.len().min(len)])
}

#[test]
fn a_string_that_is_too_long_says_by_how_much() {
    let error = ShmString::<4>::try_from("hello").unwrap_err();
    assert_eq!(error, Error::Full { what: "bytes in a ShmString", capacity: 4, needed: 5 });
    assert_eq!(
        error.to_string(),
        "no room for 5 bytes in a ShmString of capacity 4; store less, or declare a larger one"
    );
    assert_eq!("hello".parse::<ShmString<4>>(), Err(error));
}

#[test]
fn strings_compare_with_text_from_both_sides() {
    let a: ShmString<8> = "apple".parse().unwrap();
    let b: ShmString<9> = "berry".parse().unwrap();
    let owned = String::from("apple");
    assert!(a == *"apple" && a == "apple" && a == owned);
    assert!(*"apple" == a && "apple" == a && owned == a);
    assert!(a != b && a < b);
    assert_eq!(HashMap::from([(a, 1)]).get("apple"), Some(&1));
}

#[test]
fn a_write_that_runs_out_of_room_keeps_the_pieces_before() {
    let mut text = ShmString::<8>::new();
    let (fits, too_long) = (1234, 567890);
    assert!(write!(text, "{fits}-{too_long}").is_err());
    assert_eq!(text, "1234-");
}

#[test]
fn appending_to_a_torn_string_follows_what_is_valid_and_drops_the_rest() {
    // Cut inside the second of two crabs, with more text behind it.
    let mut torn: ShmString<12> =
        from_bytes(&[&12u32.to_ne_bytes()[..], "🦀".as_bytes(), b"\xf0\x9f\xa6", b"later"].concat());
    assert_eq!((torn.as_str(), torn.stored_bytes().len()), ("🦀", 12));
    torn.push('!').unwrap();
    assert_eq!((torn.as_str(), torn.stored_bytes()), ("🦀!", "🦀!".as_bytes()));
}
