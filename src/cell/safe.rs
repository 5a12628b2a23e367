//! Which types may stand in shared memory, and what a cell does with the locks among them.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::num::*;
use std::sync::atomic::*;

use super::layout::Type;
use crate::error::Result;

/// What may stand in a cell: locks, atomics, data, and arrays and `repr(C)` structs of these.
///
/// Derive it: `#[repr(C)] #[derive(ShmSafe)]`. A cell hands out `&T` only and never drops the value.
///
/// # Safety
///
/// - The type has one layout in every process that runs this build (`repr(C)`, a primitive, or an array of such),
///   and [`TYPE`](ShmSafe::TYPE) describes it truly.
/// - It holds no pointer, reference, file descriptor or anything else that means something in one process only.
/// - `&self` is safe to use while other processes use the same bytes through `&self`: what changes is atomic or behind
///   a lock of this crate.
/// - [`each_lock`](ShmSafe::each_lock) shows every lock inside, once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` may not stand in shared memory",
    label = "not `ShmSafe`",
    note = "shared memory holds what has one layout and one meaning in every process: integers, floats, bool, atomics, locks of pshared, \
            arrays, ShmString, ShmVec, `#[repr(C)]` structs with `#[derive(ShmSafe)]`",
    note = "instead of String use ShmString<N>, of Vec ShmVec<T, N>, of Box the value, of a reference or pointer an index, \
            of a tuple a `#[repr(C)]` struct, of char u32, of NonZero an Option of it, of std's locks those of pshared"
)]
pub unsafe trait ShmSafe: Sized + Send + Sync + 'static {
    /// The structure of the type.
    const TYPE: Type;

    /// Shows every lock inside `self` to `visit`, and stops at the first error.
    #[doc(hidden)]
    fn each_lock(&self, visit: &mut dyn FnMut(&dyn Resident) -> Result<()>) -> Result<()> {
        let _ = visit;
        Ok(())
    }
}

/// What may stand inside a lock: data that is valid for **every mixture of the bytes of two valid values**, because a
/// writer may be killed between any two stores.
///
/// Derive it: `#[repr(C)] #[derive(ShmData)]` on a struct, `#[repr(u8)]` or `#[repr(i8)]` on an enum without fields.
/// The derive implements [`ShmSafe`] too.
///
/// # Safety
///
/// Besides what [`ShmSafe`] asks: any mixture of the bytes of any valid values is a valid value, and no lock is inside
/// (`*guard = …` would overwrite one that others sleep on).
#[diagnostic::on_unimplemented(
    message = "`{Self}` may not stand inside a lock",
    label = "not `ShmData`",
    note = "a process may be killed between any two stores, so what a lock guards is valid for every mixture of the bytes of two values: \
            integers, floats, bool, Option<NonZero…>, arrays, ShmString, ShmVec, `#[repr(C)]` structs with `#[derive(ShmData)]`, \
            `#[repr(u8)]` enums without fields with `#[derive(ShmData)]`",
    note = "instead of String use ShmString<N>, of Vec ShmVec<T, N>, of char u32, of NonZero an Option of it, of a tuple or an enum with fields \
            a `#[repr(C)]` struct, of an atomic the plain type (the lock guards it); a lock goes beside this one, not inside"
)]
pub unsafe trait ShmData: ShmSafe {
    /// Whether a killed writer leaves either the old or the new value, never a mixture. Reserved.
    const CRASH_CONSISTENT: bool = false;
}

/// A lock as the cell around it sees it.
#[doc(hidden)]
pub trait Resident {
    /// Makes the lock ready at its final address, before anybody else can see it.
    ///
    /// # Safety
    ///
    /// The lock stays at this address, in shared memory, until [`teardown`](Resident::teardown), and nobody else uses
    /// it during the call.
    unsafe fn settle(&self) -> Result<()>;

    /// Gives back what the kernel holds for the lock.
    ///
    /// # Safety
    ///
    /// Nobody uses the lock any more.
    unsafe fn teardown(&self);

    /// Frees a lock whose owners lived before the last boot, and poisons it.
    ///
    /// # Safety
    ///
    /// As [`settle`](Resident::settle).
    unsafe fn reset(&self) -> Result<()>;

    /// Shows the thread id of every owner to `see`.
    fn each_owner(&self, see: &mut dyn FnMut(u32));
}

macro_rules! primitive {
    ($how:ident: $($t:ty),* $(,)?) => { $(primitive!(@$how $t);)* };
    (@data $t:ty) => {
        primitive!(@safe $t);
        // SAFETY: every bit pattern that mixes the bytes of two values is a value.
        #[diagnostic::do_not_recommend]
        unsafe impl ShmData for $t {}
    };
    (@safe $t:ty) => {
        // SAFETY: a fixed layout, no address inside, shared use only where the type is atomic.
        #[diagnostic::do_not_recommend]
        unsafe impl ShmSafe for $t {
            const TYPE: Type = Type::primitive::<$t>(stringify!($t));
        }
    };
}

primitive!(data: u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, bool, ());
primitive!(data:
    Option<NonZeroU8>, Option<NonZeroU16>, Option<NonZeroU32>, Option<NonZeroU64>, Option<NonZeroU128>, Option<NonZeroUsize>,
    Option<NonZeroI8>, Option<NonZeroI16>, Option<NonZeroI32>, Option<NonZeroI64>, Option<NonZeroI128>, Option<NonZeroIsize>,
);
primitive!(safe:
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize,
);

macro_rules! wrapper {
    ($($w:ident: $bound:ident),*) => { $(
        // SAFETY: repr(transparent) over a type that satisfies the same.
        unsafe impl<T: $bound> ShmSafe for $w<T> {
            const TYPE: Type = Type::structure::<Self>(stringify!($w), const { &[crate::cell::layout::Field::new::<T>("0", 0)] });
        }
        // SAFETY: as above.
        unsafe impl<T: ShmData> ShmData for $w<T> {}
    )* };
}
wrapper!(Wrapping: ShmData, Saturating: ShmData, MaybeUninit: ShmData);

// SAFETY: no bytes at all.
unsafe impl<T: ShmSafe> ShmSafe for PhantomData<T> {
    const TYPE: Type = Type::primitive::<Self>("PhantomData");
}
// SAFETY: no bytes at all.
unsafe impl<T: ShmData> ShmData for PhantomData<T> {}

// SAFETY: an array is its elements, one after another.
unsafe impl<T: ShmSafe, const N: usize> ShmSafe for [T; N] {
    const TYPE: Type = Type::array::<Self, T>(N);

    fn each_lock(&self, visit: &mut dyn FnMut(&dyn Resident) -> Result<()>) -> Result<()> {
        if T::TYPE.has_lock() {
            for element in self {
                element.each_lock(visit)?;
            }
        }
        Ok(())
    }
}
// SAFETY: a mixture of two arrays is an array of mixtures.
unsafe impl<T: ShmData, const N: usize> ShmData for [T; N] {}
