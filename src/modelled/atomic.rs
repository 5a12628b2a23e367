//! See [`modelled`](super).

use std::rc::Rc;
use std::sync::atomic::{self as core_atomic, Ordering};

use super::{Fences, weakened, world};

/// What stands for a word.
enum Word {
    Modelled(Rc<Modelled>),
    Constant(u64),
}

/// What is done to a word is done to this.
pub(super) struct Modelled {
    word: loom::sync::atomic::AtomicU64,
    /// Changed at each load, which loom then tries on both sides of every other thread's loads. It looks for orders to try at
    /// the last access of a word only: where a thread loads and then exchanges, its load would hide the loads of others before.
    order: loom::sync::atomic::AtomicU64,
}

impl Modelled {
    pub(super) fn new(value: u64) -> Modelled {
        Modelled { word: loom::sync::atomic::AtomicU64::new(value), order: loom::sync::atomic::AtomicU64::new(0) }
    }
}

fn find(address: usize, initial: u64) -> Word {
    let world = world();
    if let Some(known) = world.words.borrow().get(&address) {
        return Word::Modelled(known.clone());
    }
    let made = match initial {
        _ if !world.shared.get() => Rc::new(Modelled::new(initial)),
        0 => world.spare.borrow_mut().pop().expect("more words than SPARE are first looked at when it is late"),
        _ => {
            world.constants.borrow_mut().insert(address);
            return Word::Constant(initial);
        }
    };
    world.words.borrow_mut().insert(address, made.clone());
    Word::Modelled(made)
}

fn changed(word: Word) -> Rc<Modelled> {
    match word {
        Word::Modelled(atomic) => atomic,
        Word::Constant(_) => {
            panic!("a word is changed that was taken for a constant: have the first thread look at it before")
        }
    }
}

/// A fence, unless it is weakened to nothing.
#[track_caller]
pub(crate) fn fence(ordering: Ordering) {
    let ordering = weakened(ordering);
    if ordering != Ordering::Relaxed {
        loom::sync::atomic::fence(ordering);
    }
}

fn before_read(ordering: Ordering) {
    if ordering == Ordering::SeqCst && world().fences == Fences::BeforeReads {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

fn after_write(ordering: Ordering) {
    if ordering == Ordering::SeqCst && world().fences == Fences::AfterWrites {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

macro_rules! modelled {
    ($name:ident, $int:ty) => {
        /// A word that is modelled; in memory as core's is.
        #[repr(transparent)]
        #[derive(Debug)]
        pub(crate) struct $name(core_atomic::$name);

        #[allow(dead_code)]
        impl $name {
            /// # Safety
            ///
            /// As of core's.
            pub(crate) const unsafe fn from_ptr<'a>(at: *mut $int) -> &'a $name {
                // SAFETY: the caller's promise; it is nothing but core's.
                unsafe { &*at.cast() }
            }

            pub(crate) const fn new(value: $int) -> $name {
                $name(core_atomic::$name::new(value))
            }

            pub(crate) const fn as_ptr(&self) -> *mut $int {
                self.0.as_ptr()
            }

            fn word(&self) -> Word {
                find(self.as_ptr().addr(), self.0.load(Ordering::Relaxed).into())
            }

            #[track_caller]
            pub(crate) fn load(&self, ordering: Ordering) -> $int {
                let ordering = weakened(ordering);
                match self.word() {
                    Word::Constant(value) => value as $int,
                    Word::Modelled(atomic) => {
                        atomic.order.fetch_add(0, Ordering::Relaxed);
                        before_read(ordering);
                        atomic.word.load(ordering) as $int
                    }
                }
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $int, ordering: Ordering) {
                let ordering = weakened(ordering);
                changed(self.word()).word.store(value.into(), ordering);
                after_write(ordering);
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                let success = weakened(success);
                let atomic = changed(self.word());
                before_read(success);
                let found = atomic.word.compare_exchange(current.into(), new.into(), success, failure);
                if found.is_ok() {
                    after_write(success);
                }
                found.map(|value| value as $int).map_err(|value| value as $int)
            }

            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut change: impl FnMut($int) -> Option<$int>,
            ) -> Result<$int, $int> {
                let mut seen = self.load(fetch);
                while let Some(new) = change(seen) {
                    match self.compare_exchange(seen, new, set, fetch) {
                        Ok(before) => return Ok(before),
                        Err(now) => seen = now,
                    }
                }
                Err(seen)
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $int, ordering: Ordering) -> $int {
                let ordering = weakened(ordering);
                let atomic = changed(self.word());
                before_read(ordering);
                let before = atomic.word.swap(value.into(), ordering);
                after_write(ordering);
                before as $int
            }

            #[track_caller]
            pub(crate) fn fetch_add(&self, value: $int, ordering: Ordering) -> $int {
                let ordering = weakened(ordering);
                let atomic = changed(self.word());
                before_read(ordering);
                let before = atomic.word.fetch_add(value.into(), ordering);
                after_write(ordering);
                before as $int
            }

            #[track_caller]
            pub(crate) fn fetch_or(&self, bits: $int, ordering: Ordering) -> $int {
                let ordering = weakened(ordering);
                let atomic = changed(self.word());
                before_read(ordering);
                let before = atomic.word.fetch_or(bits.into(), ordering);
                after_write(ordering);
                before as $int
            }

            #[track_caller]
            pub(crate) fn fetch_and(&self, bits: $int, ordering: Ordering) -> $int {
                let ordering = weakened(ordering);
                let atomic = changed(self.word());
                before_read(ordering);
                let before = atomic.word.fetch_and(bits.into(), ordering);
                after_write(ordering);
                before as $int
            }
        }
    };
}

modelled!(AtomicU32, u32);
modelled!(AtomicU64, u64);
