//! The rows: each primitive as something that is had, or not, by one at a time.

use std::marker::PhantomData;
use std::time::Duration;

use pshared::backend::Backend;
use pshared::{Cause, Error, LockError, ShmSafe, generic};

/// What is special about a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Mutex,
    /// Has others beside it, but for the one who waits, who wants it alone.
    Shared,
    /// Owned by whoever has it.
    Owned,
    /// Given by one, taken by another, nobody's in between.
    Given,
    /// Waited for by as many as it takes.
    Met,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// As if nothing had happened.
    Through,
    /// With the news that whoever had it died.
    Poisoned,
    /// With the news that somebody died who had come to the same meeting.
    Broken,
    /// Not at all.
    TimedOut,
}

pub trait Row: 'static {
    const NAME: &'static str;
    const KIND: Kind;
    /// The primitive's own size.
    const BYTES: usize;
    /// The primitive with what is needed to use it.
    type Cell: ShmSafe;

    fn new() -> Self::Cell;

    /// Keeps it from others while `meanwhile` runs; after that one of them can have it.
    fn hold(cell: &Self::Cell, meanwhile: &dyn Fn());

    /// Waits until it can be had, and gives it back, clean.
    fn wait(cell: &Self::Cell, timeout: Duration) -> Came;

    /// What it costs when there is nobody else: both halves of its use.
    fn use_alone(cell: &Self::Cell);
}

fn came<G>(result: Result<G, LockError<G>>, clear: impl FnOnce()) -> Came {
    match result {
        Ok(_) => Came::Through,
        Err(LockError::TimedOut) => Came::TimedOut,
        Err(error) => match error.recover() {
            Ok((_guard, Cause::OwnerDied)) => {
                clear();
                Came::Poisoned
            }
            Ok((_guard, cause)) => panic!("poisoned by {cause:?}"),
            Err(error) => panic!("{error}"),
        },
    }
}

fn passed(result: pshared::Result<()>) -> Came {
    match result {
        Ok(()) => Came::Through,
        Err(Error::TimedOut) => Came::TimedOut,
        Err(error) => panic!("{error}"),
    }
}

macro_rules! row {
    ($name:ident, $title:literal, $kind:ident, $cell:ty, $sized:ty, $new:expr,
     hold($h:ident, $meanwhile:ident) $hold:block, wait($w:ident, $timeout:ident) $wait:block, alone($a:ident) $alone:block) => {
        pub struct $name<B>(PhantomData<B>);

        impl<B: Backend> Row for $name<B> {
            const NAME: &'static str = $title;
            const KIND: Kind = Kind::$kind;
            const BYTES: usize = size_of::<$sized>();
            type Cell = $cell;

            fn new() -> Self::Cell {
                $new
            }

            fn hold($h: &Self::Cell, $meanwhile: &dyn Fn()) $hold

            fn wait($w: &Self::Cell, $timeout: Duration) -> Came $wait

            #[inline]
            fn use_alone($a: &Self::Cell) $alone
        }
    };
}

row!(Mutex, "Mutex", Mutex, generic::Mutex<(), B>, generic::Mutex<(), B>, generic::Mutex::new(()),
    hold(lock, meanwhile) {
        let _guard = lock.lock().unwrap();
        meanwhile();
    },
    wait(lock, timeout) { came(lock.try_lock_for(timeout), || lock.clear_poison()) },
    alone(lock) { drop(lock.lock().unwrap()) });

row!(Writer, "RwLock, writing", Owned, generic::RwLock<(), B, 64>, generic::RwLock<(), B, 64>, generic::RwLock::new(()),
    hold(lock, meanwhile) {
        let _guard = lock.write().unwrap();
        meanwhile();
    },
    wait(lock, timeout) { came(lock.try_write_for(timeout), || lock.clear_poison()) },
    alone(lock) { drop(lock.write().unwrap()) });

row!(Reader, "RwLock, reading", Shared, generic::RwLock<(), B, 64>, generic::RwLock<(), B, 64>, generic::RwLock::new(()),
    hold(lock, meanwhile) {
        let _guard = lock.read().unwrap();
        meanwhile();
    },
    wait(lock, timeout) { came(lock.try_write_for(timeout), || lock.clear_poison()) },
    alone(lock) { drop(lock.read().unwrap()) });

/// A condition variable and what it is about: a number of things to take.
#[repr(C)]
#[derive(ShmSafe)]
pub struct Told<B: Backend> {
    things: generic::Mutex<u32, B>,
    more: generic::Condvar<B>,
}

row!(Condvar, "Condvar", Given, Told<B>, generic::Condvar<B>,
    Told { things: generic::Mutex::new(0), more: generic::Condvar::new() },
    hold(told, meanwhile) {
        meanwhile();
        *told.things.lock().unwrap() += 1;
        told.more.notify_one();
    },
    wait(told, timeout) {
        let things = told.things.lock().unwrap();
        let (mut things, end) = told.more.wait_timeout_while(things, timeout, |things| *things == 0).unwrap();
        if end.timed_out() {
            return Came::TimedOut;
        }
        *things -= 1;
        Came::Through
    },
    alone(told) { told.more.notify_one() });

row!(Semaphore, "Semaphore", Given, generic::Semaphore<B>, generic::Semaphore<B>,
generic::Semaphore::counting(0).unwrap(),
hold(permits, meanwhile) {
    meanwhile();
    permits.post().unwrap();
},
wait(permits, timeout) { passed(permits.wait_timeout(timeout)) },
alone(permits) {
    permits.post().unwrap();
    permits.wait().unwrap();
});

row!(Permits, "Permits<4>", Owned, generic::Permits<B, 4>, generic::Permits<B, 4>, generic::Permits::new(),
    hold(permits, meanwhile) {
        let _all = [(); 4].map(|()| permits.acquire().unwrap());
        meanwhile();
    },
    wait(permits, timeout) { passed(permits.acquire_timeout(timeout).map(drop)) },
    alone(permits) { drop(permits.acquire().unwrap()) });

row!(Barrier, "Barrier<4>", Met, generic::Barrier<B, 4>, generic::Barrier<B, 4>, generic::Barrier::new(3).unwrap(),
    hold(barrier, meanwhile) {
        meanwhile();
        barrier.wait().unwrap();
    },
    wait(barrier, timeout) {
        match barrier.wait_timeout(timeout) {
            Ok(_) => Came::Through,
            Err(Error::TimedOut) => Came::TimedOut,
            Err(Error::BarrierBroken) => Came::Broken,
            Err(error) => panic!("{error}"),
        }
    },
    alone(barrier) { _ = barrier.is_broken() });

row!(Once, "Once", Owned, generic::Once<B>, generic::Once<B>, generic::Once::new(),
    hold(once, meanwhile) { once.call_once(meanwhile).unwrap() },
    wait(once, timeout) {
        // Who does it can't do so until a deadline, who only waits can.
        if timeout < Duration::from_secs(1) {
            return passed(once.wait_timeout(timeout));
        }
        let mut came = Came::Through;
        once.call_once_force(|before| came = if before.is_poisoned() { Came::Poisoned } else { came }).unwrap();
        came
    },
    alone(once) { once.call_once(|| ()).unwrap() });

row!(Event, "Event", Given, generic::Event<B>, generic::Event<B>, generic::Event::auto(false),
hold(event, meanwhile) {
    meanwhile();
    event.set().unwrap();
},
wait(event, timeout) { passed(event.wait_timeout(timeout)) },
alone(event) {
    event.set().unwrap();
    event.reset().unwrap();
});
