//! What `#[derive(ShmSafe)]` and `#[derive(ShmData)]` say of a type: its structure, its locks, which trait it has.

use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;

use pshared::backend::Backend;
use pshared::backend::futex::Futex;
use pshared::{Field, Mutex, Resident, Result, ShmData, ShmSafe, Type, generic};
use static_assertions::{assert_impl_all, assert_not_impl_any};

const fn fingerprint<T: ShmSafe>() -> u64 {
    T::TYPE.fingerprint()
}

fn locks<T: ShmSafe>(value: &T) -> usize {
    let mut count = 0;
    value
        .each_lock(&mut |_: &dyn Resident| -> Result<()> {
            count += 1;
            Ok(())
        })
        .unwrap();
    count
}

/// Definitions of one name that differ in one thing each.
#[allow(dead_code)]
mod versions {
    macro_rules! version {
        ($module:ident: $($definition:tt)*) => {
            pub mod $module {
                use pshared::*;
                $($definition)*
            }
        };
    }

    version!(first: #[repr(C)] #[derive(ShmSafe)] pub struct Pair { a: u32, b: u32 });
    version!(same: #[derive(ShmSafe)] #[repr(C)] pub struct Pair { pub a: u32, pub b: u32 });
    version!(as_data: #[repr(C)] #[derive(ShmData)] pub struct Pair { a: u32, b: u32 });
    version!(struct_renamed: #[repr(C)] #[derive(ShmSafe)] pub struct Couple { a: u32, b: u32 });
    version!(field_renamed: #[repr(C)] #[derive(ShmSafe)] pub struct Pair { a: u32, c: u32 });
    version!(reordered: #[repr(C)] #[derive(ShmSafe)] pub struct Pair { b: u32, a: u32 });
    version!(retyped: #[repr(C)] #[derive(ShmSafe)] pub struct Pair { a: u32, b: i32 });
    version!(array: #[repr(C)] #[derive(ShmSafe)] pub struct Pair { a: u32, b: [u32; 1] });
    version!(longer_array: #[repr(C)] #[derive(ShmSafe)] pub struct Pair { a: u32, b: [u32; 2] });
    version!(aligned: #[repr(C)] #[repr(align(64))] #[derive(ShmSafe)] pub struct Pair { a: u32, b: u32 });
    version!(tuple: #[repr(C)] #[derive(ShmSafe)] pub struct Pair(u32, u32););
    version!(unit: #[repr(C)] #[derive(ShmSafe)] pub struct Pair;);

    version!(level: #[repr(u8)] #[derive(ShmData)] pub enum Level { Low, High });
    version!(same_level: #[derive(ShmData)] #[repr(u8)] pub enum Level { Low = 0, High = 2 - 1 });
    version!(renumbered: #[repr(u8)] #[derive(ShmData)] pub enum Level { Low, High = 2 });
    version!(variant_renamed: #[repr(u8)] #[derive(ShmData)] pub enum Level { Low, Top });
    version!(swapped: #[repr(u8)] #[derive(ShmData)] pub enum Level { High, Low });
    version!(signed: #[repr(i8)] #[derive(ShmData)] pub enum Level { Low, High });
}

/// Known in constants.
const PAIR: u64 = fingerprint::<versions::first::Pair>();
const _: () = assert!(PAIR == versions::same::Pair::TYPE.fingerprint());

#[test]
fn identical_definitions_have_one_fingerprint() {
    assert_eq!(PAIR, fingerprint::<versions::same::Pair>());
    assert_eq!(PAIR, fingerprint::<versions::as_data::Pair>());
    assert_eq!(fingerprint::<versions::level::Level>(), fingerprint::<versions::same_level::Level>());
    assert_eq!(fingerprint::<Ring<u32, 8>>(), fingerprint::<Ring<u32>>());
}

#[test]
fn every_difference_of_structure_changes_the_fingerprint() {
    use versions::*;
    let all = [
        ("first", PAIR),
        ("struct renamed", fingerprint::<struct_renamed::Couple>()),
        ("field renamed", fingerprint::<field_renamed::Pair>()),
        ("reordered", fingerprint::<reordered::Pair>()),
        ("retyped", fingerprint::<retyped::Pair>()),
        ("array", fingerprint::<array::Pair>()),
        ("longer array", fingerprint::<longer_array::Pair>()),
        ("aligned", fingerprint::<aligned::Pair>()),
        ("tuple", fingerprint::<tuple::Pair>()),
        ("unit", fingerprint::<unit::Pair>()),
        ("level", fingerprint::<level::Level>()),
        ("renumbered", fingerprint::<renumbered::Level>()),
        ("variant renamed", fingerprint::<variant_renamed::Level>()),
        ("variants swapped", fingerprint::<swapped::Level>()),
        ("signed", fingerprint::<signed::Level>()),
        ("parameters", fingerprint::<Ring<u32, 4>>()),
        ("other type parameter", fingerprint::<Ring<f32, 4>>()),
        ("other const parameter", fingerprint::<Ring<u32, 5>>()),
        ("backend", fingerprint::<Stats<u32, Futex, 4>>()),
        ("other backend", fingerprint::<Stats<u32, Other, 4>>()),
    ];
    for (i, (name, fingerprint)) in all.iter().enumerate() {
        for (other_name, other) in &all[..i] {
            assert_ne!(fingerprint, other, "{name} and {other_name}");
        }
    }
}

#[repr(C)]
#[derive(ShmSafe)]
struct Mixed {
    r#type: u8,
    count: AtomicU64,
}

#[repr(transparent)]
#[derive(ShmData)]
struct Seconds(#[allow(dead_code)] f64);

#[repr(i8)]
#[derive(Clone, Copy, ShmData)]
enum Sign {
    Minus = -1,
    Zero,
    r#Plus = 1,
    Top = i8::MAX,
}

#[test]
fn the_structure_has_names_offsets_types_and_values() {
    let mixed = Type::structure::<Mixed>(
        "Mixed",
        const { &[Field::new::<u8>("type", 0), Field::new::<AtomicU64>("count", 8)] },
    );
    assert_eq!(fingerprint::<Mixed>(), mixed.fingerprint());
    let seconds = Type::structure::<Seconds>("Seconds", const { &[Field::new::<f64>("0", 0)] });
    assert_eq!(fingerprint::<Seconds>(), seconds.fingerprint());
    assert_eq!([Sign::Minus, Sign::Zero, Sign::Plus, Sign::Top].map(|s| s as i8), [-1, 0, 1, 127]);
    let sign = Type::fieldless_enum::<Sign>("Sign", "i8", &[("Minus", -1), ("Zero", 0), ("Plus", 1), ("Top", 127)]);
    assert_eq!(fingerprint::<Sign>(), sign.fingerprint());
}

/// A second backend, for fingerprints only.
struct Other;

trait Named: Send + Sync + 'static {
    const NAME: &'static str;
}

impl Named for Futex {
    const NAME: &'static str = "futex";
}

impl Named for Other {
    const NAME: &'static str = "other";
}

/// A lock in name only, with a bound that the derive can't know.
#[repr(C)]
struct Lock<T, B>(T, PhantomData<B>);

// SAFETY: repr(C) over a T; nobody shares it.
unsafe impl<T: ShmData, B: Named> ShmSafe for Lock<T, B> {
    const TYPE: Type = Type::lock::<Self, T>("Lock", B::NAME, 0, 0);
}

/// No bounds: the derive asks for those that the fields need.
#[repr(C)]
#[derive(ShmSafe)]
#[allow(dead_code)]
struct Stats<T, B, const N: usize> {
    totals: Lock<[T; N], B>,
    version: u32,
}

/// The real lock, which has a bound on its definition.
#[repr(C)]
#[derive(ShmSafe)]
struct Totals<T, B, const N: usize>
where
    B: Backend,
{
    totals: generic::Mutex<[T; N], B>,
    by_hour: [generic::Mutex<T, B>; 24],
}

fn totals() -> Totals<u32, Futex, 2> {
    Totals { totals: generic::Mutex::new([0; 2]), by_hour: [const { generic::Mutex::new(0) }; 24] }
}

#[test]
fn a_backend_may_be_a_parameter() {
    assert_impl_all!(Stats<u32, Futex, 4>: ShmSafe);
    assert_not_impl_any!(Stats<u32, u8, 4>: ShmSafe);
    assert_not_impl_any!(Stats<AtomicU64, Futex, 4>: ShmSafe);
    assert_impl_all!(Totals<u32, Futex, 4>: ShmSafe);
    assert_not_impl_any!(Totals<char, Futex, 4>: ShmSafe);
}

#[repr(C)]
#[derive(ShmSafe)]
struct Nested(Mutex<u8>, u32, Inner, [Inner; 3]);

#[repr(C)]
#[derive(ShmSafe)]
struct Inner {
    one: Mutex<Seconds>,
    two: Mutex<()>,
}

#[test]
fn every_lock_is_visited_once() {
    assert_eq!(locks(&totals()), 25);
    let inner = || Inner { one: Mutex::new(Seconds(0.0)), two: Mutex::new(()) };
    assert_eq!(locks(&Nested(Mutex::new(0), 0, inner(), [inner(), inner(), inner()])), 9);
    assert_eq!(locks(&Mixed { r#type: 0, count: AtomicU64::new(0) }), 0);
    assert!(const { Nested::TYPE.has_lock() });
    assert!(const { !Mixed::TYPE.has_lock() });
}

#[test]
fn the_first_error_ends_a_visit() {
    let mut visits = 0;
    let result = totals().each_lock(&mut |_| {
        visits += 1;
        if visits == 3 { Err(pshared::Error::WouldBlock) } else { Ok(()) }
    });
    assert_eq!((result, visits), (Err(pshared::Error::WouldBlock), 3));
}

#[repr(C)]
#[derive(ShmData)]
#[allow(dead_code)]
struct Ring<T, const N: usize = 8> {
    slots: [T; N],
    head: u32,
}

#[repr(C, align(64))]
#[derive(ShmData)]
struct Padded<T>(T);

#[test]
fn a_generic_struct_has_the_traits_that_its_parameters_allow() {
    assert_impl_all!(Ring<u32>: ShmData);
    assert_impl_all!(Padded<Ring<f32, 2>>: ShmData);
    assert_impl_all!(Padded<AtomicU64>: ShmSafe);
    assert_not_impl_any!(Padded<AtomicU64>: ShmData);
    assert_not_impl_any!(Padded<Mutex<u32>>: ShmData);
    assert_not_impl_any!(Padded<String>: ShmSafe);
    assert_not_impl_any!(Mixed: ShmData);
    assert_eq!(locks(&Padded(Padded(Mutex::new(0)))), 1);
    assert!(const { Padded::<Mutex<u32>>::TYPE.has_lock() });
    assert_eq!(Padded::<u8>::TYPE.align(), 64);
}

/// An index that knows of what, as lists in shared memory have instead of pointers.
#[repr(C)]
#[derive(ShmData)]
#[allow(dead_code)]
struct At<T> {
    index: u32,
    of: PhantomData<T>,
}

#[repr(C)]
#[derive(ShmData)]
#[allow(dead_code)]
struct Node<T> {
    next: At<Node<T>>,
    previous: At<Self>,
    value: T,
}

#[repr(C)]
#[derive(ShmData)]
#[allow(dead_code)]
struct Plain {
    next: At<Plain>,
    children: [At<Self>; 2],
}

#[repr(C)]
#[derive(ShmSafe)]
#[allow(dead_code)]
struct List<T> {
    first: Mutex<At<Node<T>>>,
    nodes: Mutex<[Node<T>; 16]>,
}

mod elsewhere {
    /// Has the name of what is inside, but is something else.
    #[repr(C)]
    #[derive(pshared::ShmSafe)]
    #[allow(dead_code)]
    pub struct List<T> {
        inner: super::List<T>,
    }
}

#[test]
fn a_type_may_name_itself() {
    assert_impl_all!(Node<u32>: ShmData);
    assert_not_impl_any!(Node<AtomicU64>: ShmData);
    assert_impl_all!(Node<AtomicU64>: ShmSafe);
    assert_impl_all!(Plain: ShmData);
    assert_impl_all!(List<Plain>: ShmSafe);
    assert_impl_all!(elsewhere::List<Plain>: ShmSafe);
    assert_not_impl_any!(elsewhere::List<char>: ShmSafe);
    assert_ne!(fingerprint::<Node<u32>>(), fingerprint::<Node<f32>>());
}

/// In what a macro makes, a field's type is a group of tokens.
macro_rules! made {
    ($name:ident<$param:ident> { $($field:ident: $ty:ty),* } $value:expr) => {
        #[cfg_attr(unix, repr(C))]
        #[derive(ShmData)]
        #[allow(dead_code)]
        struct $name<$param> { $($field: $ty),* }

        #[repr(u8)]
        #[derive(ShmData)]
        #[allow(dead_code)]
        enum MadeEnum { Three = $value, Four }
    };
}
made!(Made<T> { one: T, three: [At<T>; 3] } 1 + 2);

#[repr(C)]
#[derive(ShmSafe)]
#[allow(dead_code)]
struct Chosen {
    #[cfg(not(unix))]
    never: String,
    #[cfg(unix)]
    always: u32,
}

#[test]
fn definitions_may_come_from_macros_and_cfg() {
    assert_impl_all!(Made<u32>: ShmData);
    assert_not_impl_any!(Made<String>: ShmSafe);
    let made = Type::fieldless_enum::<MadeEnum>("MadeEnum", "u8", &[("Three", 3), ("Four", 4)]);
    assert_eq!(fingerprint::<MadeEnum>(), made.fingerprint());
    let chosen = Type::structure::<Chosen>("Chosen", const { &[Field::new::<u32>("always", 0)] });
    assert_eq!(fingerprint::<Chosen>(), chosen.fingerprint());
}

#[test]
fn every_name_in_scope_may_be_taken() {
    #[allow(dead_code, non_camel_case_types, non_snake_case, non_upper_case_globals)]
    mod taken {
        pub struct Result;
        pub struct Option;
        pub struct Type;
        pub struct Field;
        pub struct Resident;
        pub trait FnMut {}
        pub trait Send {}
        pub trait Sync {}
        pub trait Sized {}
        pub struct usize;
        pub struct i128;
        pub struct u8;
        pub struct bool;
        pub struct str;
        pub const fn Ok() {}
        pub const fn Err() {}
        pub mod core {}
        pub mod std {}
        pub mod pshared {}
        pub const name: () = ();
        pub const offset: () = ();
        pub const value: () = ();
        pub const visit: () = ();

        #[repr(C)]
        #[derive(::pshared::ShmSafe)]
        pub struct Structure<F> {
            lock: ::pshared::Mutex<F>,
            visit: u32,
        }
        type u32 = ::core::primitive::u32;

        #[repr(C)]
        #[derive(::pshared::ShmData)]
        pub struct Data<F> {
            value: F,
            next: ::core::marker::PhantomData<Self>,
            count: u32,
        }

        #[repr(u8)]
        #[derive(::pshared::ShmData)]
        pub enum Enumeration {
            Ok,
            Err,
            Type,
        }
    }
    assert_impl_all!(taken::Structure<u32>: ShmSafe);
    assert_impl_all!(taken::Data<u32>: ShmData);
    assert_impl_all!(taken::Enumeration: ShmData);
}

/// That it compiles is the test, and that clippy accepts it.
#[allow(dead_code)]
mod strict {
    #![forbid(unsafe_code)]
    #![deny(missing_docs, missing_debug_implementations, private_bounds, private_interfaces)]
    #![deny(unused_qualifications, unused_results, single_use_lifetimes, trivial_casts, trivial_numeric_casts)]
    #![deny(deprecated, non_snake_case, non_camel_case_types, non_upper_case_globals, let_underscore_drop)]
    #![deny(elided_lifetimes_in_paths, explicit_outlives_requirements, absolute_paths_not_starting_with_crate)]
    #![deny(clippy::all, clippy::pedantic, clippy::nursery, clippy::undocumented_unsafe_blocks)]
    #![deny(clippy::absolute_paths, clippy::as_conversions, clippy::question_mark_used, clippy::implicit_return)]
    #![deny(clippy::missing_trait_methods, clippy::missing_docs_in_private_items, clippy::pattern_type_mismatch)]

    use std::marker::PhantomData;

    use pshared::{ShmData, ShmSafe};

    /// With a private type in a bound.
    #[repr(C)]
    #[derive(Debug, ShmSafe)]
    #[allow(non_snake_case)]
    pub struct Structure<T, const N: usize> {
        /// Documented.
        hidden: Hidden<T>,
        /// Documented.
        loudName: [u8; N],
        /// Documented.
        #[deprecated]
        former: u32,
    }

    /// Private.
    #[repr(C)]
    #[derive(Debug, ShmSafe)]
    struct Hidden<T>(T);

    /// Documented.
    #[repr(C)]
    #[derive(Debug, ShmData)]
    pub struct Data<T> {
        /// Documented.
        value: T,
        /// Documented.
        next: PhantomData<Self>,
        /// Documented.
        count: u32,
    }

    /// Documented.
    #[repr(i8)]
    #[derive(Debug, ShmData)]
    pub enum Enumeration {
        /// Documented.
        Up = 1,
        /// Documented.
        #[deprecated]
        Down = -1,
    }

    /// Documented.
    #[repr(C)]
    #[derive(Debug, ShmSafe)]
    #[deprecated]
    pub struct Former;
}

#[test]
fn an_expansion_passes_the_strictest_lints() {
    assert_impl_all!(strict::Structure<u32, 3>: ShmSafe);
    assert_impl_all!(strict::Data<u32>: ShmData);
    assert_impl_all!(strict::Enumeration: ShmData);
}
