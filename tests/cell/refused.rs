//! M3 of the list of hazards: memory that holds something else is refused, and the error names the first difference.

use std::fs;

use pshared::backend::Backend;
use pshared::futex::Futex;
use pshared::region::Region;
use pshared::{Cause, Error, Mismatch, Mutex, Shm, ShmCell, ShmData, ShmSafe, generic, posix, sysv};

use super::every_region;
use crate::support::place::{Scratch, read, write};
use crate::support::watchdog::watch;

/// What is in the region.
#[repr(C)]
#[derive(ShmSafe)]
struct Book {
    pages: u32,
    lines: u32,
    words: Mutex<u64>,
    notes: [u16; 4],
    cover: Cover,
}

#[repr(u8)]
#[derive(Clone, Copy, ShmData)]
#[allow(dead_code, reason = "made by others")]
enum Cover {
    Paper = 0,
    Cloth = 1,
}

impl Book {
    fn new() -> Book {
        Book { pages: 300, lines: 30, words: Mutex::new(90_000), notes: [1, 2, 3, 4], cover: Cover::Cloth }
    }
}

fn mismatch<T: ShmSafe>(region: &dyn Region) -> Mismatch {
    match Shm::<T>::open_in(region) {
        Err(Error::Mismatch(mismatch)) => {
            assert_eq!(*mismatch.what, region.describe());
            *mismatch
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken for a {}", std::any::type_name::<T>()),
    }
}

/// The parts of a difference that anybody would look for in the message.
fn assert_tells<T: ShmSafe>(region: &dyn Region, field: &str, found: &str, expected: &str) {
    let m = mismatch::<T>(region);
    assert!(
        m.field.contains(field) && m.found.contains(found) && m.expected.contains(expected),
        "looked for {field:?}, {found:?}, {expected:?} in: {m}"
    );
}

/// A backend of another name, to be refused.
enum Elsewhere {}

impl Backend for Elsewhere {
    const NAME: &'static str = "elsewhere";
    type Mutex = <Futex as Backend>::Mutex;
    type Semaphore = <Futex as Backend>::Semaphore;
    type Event = <Futex as Backend>::Event;
    type Condvar = <Futex as Backend>::Condvar;
    type Permits<const N: usize> = <Futex as Backend>::Permits<N>;
    type Barrier<const N: usize> = <Futex as Backend>::Barrier<N>;
    type Once = <Futex as Backend>::Once;
    type RwLock<const READERS: usize> = <Futex as Backend>::RwLock<READERS>;
}

/// `Book`, with one thing changed in each.
mod other {
    use super::*;

    macro_rules! variant {
        ($module:ident { $($field:ident: $ty:ty),* }) => {
            variant!($module Book { $($field: $ty),* });
        };
        ($module:ident $name:ident { $($field:ident: $ty:ty),* }) => {
            pub mod $module {
                use super::*;
                #[repr(C)]
                #[derive(ShmSafe)]
                pub struct $name { $($field: $ty),* }
            }
        };
    }

    variant!(same { pages: u32, lines: u32, words: Mutex<u64>, notes: [u16; 4], cover: Cover });
    variant!(renamed Tome { pages: u32, lines: u32, words: Mutex<u64>, notes: [u16; 4], cover: Cover });
    variant!(field_renamed { leaves: u32, lines: u32, words: Mutex<u64>, notes: [u16; 4], cover: Cover });
    variant!(field_retyped { pages: u32, lines: i32, words: Mutex<u64>, notes: [u16; 4], cover: Cover });
    variant!(fields_swapped { lines: u32, pages: u32, words: Mutex<u64>, notes: [u16; 4], cover: Cover });
    variant!(data_retyped { pages: u32, lines: u32, words: Mutex<i64>, notes: [u16; 4], cover: Cover });
    variant!(array_longer { pages: u32, lines: u32, words: Mutex<u64>, notes: [u16; 9], cover: Cover });
    variant!(array_shorter { pages: u32, lines: u32, words: Mutex<u64>, notes: [u16; 3], cover: Cover });
    variant!(element_retyped { pages: u32, lines: u32, words: Mutex<u64>, notes: [i16; 4], cover: Cover });
    variant!(unguarded { pages: u32, lines: u32, words: [u64; 7], notes: [u16; 4], cover: Cover });
    variant!(field_added { pages: u32, lines: u32, words: Mutex<u64>, notes: [u16; 4], cover: Cover, shelf: u64 });
    variant!(field_gone { pages: u32, lines: u32, words: Mutex<u64>, notes: [u16; 4] });
    variant!(on_posix { pages: u32, lines: u32, words: posix::Mutex<u64>, notes: [u16; 4], cover: Cover });
    variant!(on_sysv { pages: u32, lines: u32, words: sysv::Mutex<u64>, notes: [u16; 4], cover: Cover });
    variant!(elsewhere { pages: u32, lines: u32, words: generic::Mutex<u64, Elsewhere>, notes: [u16; 4], cover: Cover });

    pub mod variant_renumbered {
        use super::*;
        #[repr(u8)]
        #[derive(Clone, Copy, ShmData)]
        #[allow(dead_code, reason = "never made")]
        pub enum Cover {
            Paper = 0,
            Cloth = 2,
        }
        #[repr(C)]
        #[derive(ShmSafe)]
        pub struct Book {
            pages: u32,
            lines: u32,
            words: Mutex<u64>,
            notes: [u16; 4],
            cover: Cover,
        }
    }
}

#[test]
fn another_type_is_refused_by_the_first_field_that_differs() {
    let scratch = Scratch::new();
    for (_, region) in every_region(&scratch) {
        let region = &*region;
        let book = Shm::create_in(region, || Ok(Book::new())).unwrap();
        // The same structure is the same type, whatever module it is from.
        assert!(Shm::<other::same::Book>::open_in(region).is_ok());
        assert_tells::<other::renamed::Tome>(region, "value", "Book", "Tome");
        assert_tells::<other::field_renamed::Book>(region, "field", "pages", "leaves");
        assert_tells::<other::field_retyped::Book>(region, "value.lines", "u32", "i32");
        assert_tells::<other::fields_swapped::Book>(region, "field", "pages", "lines");
        assert_tells::<other::data_retyped::Book>(region, "value.words.data", "u64", "i64");
        assert_tells::<other::array_longer::Book>(region, "value.notes", "[u16;4]", "[u16;9]");
        assert_tells::<other::array_shorter::Book>(region, "value.notes", "[u16;4]", "[u16;3]");
        assert_tells::<other::element_retyped::Book>(region, "value.notes", "[u16;4]", "[i16;4]");
        assert_tells::<other::unguarded::Book>(region, "value.words", "lock:Mutex:futex", "[u64;7]");
        assert_tells::<other::field_added::Book>(region, "field", "nothing more", "value.shelf");
        assert_tells::<other::field_gone::Book>(region, "field", "value.cover", "nothing more");
        assert_tells::<other::elsewhere::Book>(region, "value.words", "lock:Mutex:futex", "lock:Mutex:elsewhere");
        assert_tells::<other::on_posix::Book>(region, "value.words", "lock:Mutex:futex", "lock:Mutex:posix");
        assert_tells::<other::on_sysv::Book>(region, "value.words", "lock:Mutex:futex", "lock:Mutex:sysv");
        assert_tells::<other::variant_renumbered::Book>(region, "value.cover", "Cloth=1", "Cloth=2");
        assert_tells::<Mutex<u64>>(region, "value", "struct:Book", "lock:Mutex:futex");
        // Nor is it replaced.
        assert!(matches!(Shm::<Mutex<u64>>::open_or_create_in(region, || Ok(Mutex::new(0))), Err(Error::Mismatch(_))));
        assert_eq!((*book.words.lock().unwrap(), book.notes), (90_000, [1, 2, 3, 4]));
        assert!(matches!(book.cover, Cover::Cloth) && (book.pages, book.lines) == (300, 30));
    }
}

#[test]
fn a_cell_of_another_backend_is_refused_whichever_of_the_two_made_it() {
    let scratch = Scratch::new();
    let region = &*scratch.posix().region(None);
    let words = [const { sysv::Mutex::new(7_u64) }; 2];
    let made = Shm::create_in(region, || Ok(words)).unwrap();
    assert_tells::<[Mutex<u64>; 2]>(region, "value", "lock:Mutex:sysv", "lock:Mutex:futex");
    assert_tells::<[posix::Mutex<u64>; 2]>(region, "value", "lock:Mutex:sysv", "lock:Mutex:posix");
    assert!(made.iter().all(|words| *words.lock().unwrap() == 7));
    Shm::<[sysv::Mutex<u64>; 2]>::remove_in(region).unwrap();
}

/// A change of the header: where, to what, and how the error calls it.
const HEADER: [(usize, &[u8], &str, &str); 12] = [
    (0, b"X", "the magic number", "Xpshared"),
    (0, b"12345678", "the magic number", "12345678"),
    (7, b"\0", "the magic number", r"\x7fpshare\x00"),
    (8, &2_u32.to_ne_bytes(), "the format version", "2"),
    (8, &u32::MAX.to_ne_bytes(), "the format version", "4294967295"),
    (12, &[0], "the pointer width in bits", "0"),
    (12, &[(96 - usize::BITS) as u8], "the pointer width in bits", if usize::BITS == 64 { "32" } else { "64" }),
    (13, &[if cfg!(target_endian = "little") { 2 } else { 1 }], "the byte order", "i"),
    (14, &[77], "the C library", ""),
    (14, &[if cfg!(target_env = "musl") { 1 } else { 2 }], "the C library", ""),
    (16, &[0; 8], "the type's fingerprint", "0x0000000000000000"),
    (24, &[0; 8], "the value's size in bytes", "0"),
];

#[test]
fn a_header_of_another_build_or_machine_is_refused_by_what_differs_in_it() {
    let scratch = Scratch::new();
    for (_, region) in every_region(&scratch) {
        let _book = Shm::create_in(&*region, || Ok(Book::new())).unwrap();
        let mapping = region.open().unwrap();
        let header = read(&mapping, 128);
        for (at, bytes, field, found) in HEADER {
            let mut changed = header.clone();
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            write(&mapping, &changed);
            let m = mismatch::<Book>(&*region);
            assert!(*m.field == *field && m.found.contains(found), "byte {at}: {m}");
            assert_ne!(m.found, m.expected, "byte {at}: {m}");
            write(&mapping, &header);
            Shm::<Book>::open_in(&*region).unwrap_or_else(|e| panic!("byte {at} as it was: {e}"));
        }
        // The table of fields can't be read: there is still an error, and nothing else.
        for table in [[usize::MAX; 2], [0, usize::MAX], [usize::MAX, 1], [mapping.len(), 1]] {
            let mut changed = header.clone();
            changed[16..24].fill(9);
            changed[32..40].copy_from_slice(&table[0].to_ne_bytes());
            changed[40..48].copy_from_slice(&table[1].to_ne_bytes());
            write(&mapping, &changed);
            assert_eq!(*mismatch::<Book>(&*region).field, *"the type's fingerprint");
            write(&mapping, &header);
        }
    }
}

#[test]
fn a_cell_of_another_pid_namespace_is_refused() {
    let scratch = Scratch::new();
    let region = scratch.posix().region(None);
    let _book = Shm::create_in(&*region, || Ok(Book::new())).unwrap();
    let mapping = region.open().unwrap();
    let mut header = read(&mapping, 128);
    let ours = u64::from_ne_bytes(header[64..72].try_into().unwrap());
    header[64..72].copy_from_slice(&(ours + 1).to_ne_bytes());
    write(&mapping, &header);
    let what = region.describe().into();
    assert_eq!(Shm::<Book>::open_in(&*region).err(), Some(Error::PidNamespace { what, theirs: ours + 1, ours }));
}

#[test]
fn a_cell_of_an_earlier_boot_is_free_and_poisoned() {
    let _watchdog = watch("a_cell_of_an_earlier_boot_is_free_and_poisoned");
    let scratch = Scratch::new();
    let region = scratch.file().region(None);
    {
        let book = Shm::create_in(&*region, || Ok(Book::new())).unwrap();
        // As if this thread had been killed with the lock, and the machine with it before anybody looked.
        let guard = book.words.lock().unwrap();
        let held = fs::read(scratch.directory.join("region")).unwrap();
        drop(guard);
        drop(book);
        Shm::<Book>::remove_in(&*region).unwrap();
        let mut earlier = held;
        earlier[48..64].fill(7);
        fs::write(scratch.directory.join("region"), earlier).unwrap();
    }
    let book = Shm::<Book>::open_in(&*region).unwrap();
    assert!(!book.words.is_locked());
    assert!(book.words.is_poisoned());
    let (words, cause) = book.words.lock().unwrap_err().recover().unwrap();
    assert_eq!((*words, cause), (90_000, Cause::OwnerDied));
    drop(words);
    book.words.clear_poison();
    // It is of this boot now.
    assert_eq!(*Shm::<Book>::open_in(&*region).unwrap().words.lock().unwrap(), 90_000);
}

/// Bytes that are all kinds of things, the same in every run.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 32) as u8 | 1 // no zeros, which are memory that nobody has written yet
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn noise_is_refused() {
    let scratch = Scratch::new();
    let (path, region) = (scratch.directory.join("region"), scratch.file().region(None));
    let whole = ShmCell::<Book>::size();
    for (seed, len) in (1..).zip([1, 7, 8, 72, 127, 128, 129, whole - 1, whole, whole + 1, 5 * whole]) {
        fs::write(&path, noise(seed, len)).unwrap();
        let m = mismatch::<Book>(&*region);
        let (field, expected) = match len {
            0..128 => ("its size in bytes", whole.to_string()),
            _ => ("the magic number", r"\x7fpshared".to_owned()),
        };
        assert_eq!((&*m.field, &*m.expected), (field, &*expected), "{len} bytes: {m}");
        assert!(matches!(Shm::open_or_create_in(&*region, || Ok(Book::new())), Err(Error::Mismatch(_))), "{len} bytes");
        assert!(
            matches!(Shm::create_in(&*region, || Ok(Book::new())), Err(Error::AlreadyExists { .. })),
            "{len} bytes"
        );
        assert_eq!(fs::read(&path).unwrap(), noise(seed, len), "{len} bytes: it was changed");
    }
}

#[test]
fn a_cell_cut_off_is_refused() {
    let scratch = Scratch::new();
    let (path, region) = (scratch.directory.join("region"), scratch.file().region(None));
    drop(Shm::create_in(&*region, || Ok(Book::new())).unwrap());
    let whole = fs::read(&path).unwrap();
    let table_at = usize::from_ne_bytes(whole[32..40].try_into().unwrap());
    for len in [1, 127, 128, 129, table_at - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        match Shm::<Book>::open_in(&*region) {
            Err(Error::Mismatch(m)) if len < 128 => assert_eq!(*m.field, *"its size in bytes"),
            Err(Error::BadMemory { len: found, needed, .. }) => assert_eq!((found, needed), (len, table_at)),
            other => panic!("{len} bytes: {:?}", other.err()),
        }
    }
    fs::write(&path, &whole).unwrap();
    Shm::<Book>::open_in(&*region).unwrap();
}
