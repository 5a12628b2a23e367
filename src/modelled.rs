//! The machine under the cfg `loom`: atomics that the model checker goes through, and small stand-ins for the system calls
//! that the protocols sleep and wake by. The protocols themselves are those of every other build.
//!
//! # How
//!
//! loom's atomics can be neither const nor part of zeroed memory. So a word keeps its place and its size in its lock, and
//! what is done to it is done to an atomic of loom's that is found by the word's address.
//!
//! Before there is a second thread a first look at a word finds what stands in memory. Afterwards a word that holds 0 gets an
//! atomic that was made beforehand, and any other is taken for a constant, which nobody may change from then on.
//!
//! # Whether it would notice
//!
//! `PSHARED_WEAKEN=src/backend/futex/rwlock.rs:209:Relaxed` makes the access or fence in that line weaker than it says there. Of
//! a compare-exchange that is the ordering of its success.
//!
//! # What loom can't see
//!
//! - loom takes `SeqCst` accesses for `AcqRel`. So each is joined by a `SeqCst` fence, either behind every write or before
//!   every read, see [`Fences`]: each alone gives accesses that are all `SeqCst` the one order that they rely on, and each
//!   misses the other half where it is weakened. What holds must hold with both. A fence orders the accesses beside it as
//!   well, and makes happen-before what only has an order: more than `SeqCst` accesses do in C++, as much as processors do.
//! - A call of futex(2) is a full barrier here, and orders the calls on all words, as in Linux; its documentation doesn't say so.
//! - The hints of who spins aren't modelled, nor the links of the robust list, which the owner of a word alone changes.
//! - Nobody dies, and no time passes: sleeping is for ever, so a lost wake-up is a deadlock, which loom reports. Deaths are the
//!   business of the models in `tests/models`.

pub mod atomic;
pub mod futex;
pub mod sem;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::rc::Rc;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use self::atomic::Modelled;

/// The access that is weaker than it says: file, line and what it is instead.
static WEAKENED: LazyLock<Option<(String, u32, Ordering)>> = LazyLock::new(|| {
    let asked = std::env::var("PSHARED_WEAKEN").ok()?;
    let mut parts = asked.rsplitn(3, ':');
    let to = match parts.next()? {
        "Relaxed" => Ordering::Relaxed,
        "Acquire" => Ordering::Acquire,
        "Release" => Ordering::Release,
        "AcqRel" => Ordering::AcqRel,
        other => panic!("PSHARED_WEAKEN: {other} isn't an ordering to weaken to"),
    };
    let line = parts.next()?.parse().expect("PSHARED_WEAKEN: a line's number before the ordering");
    Some((parts.next()?.to_owned(), line, to))
});

/// The ordering of the access that calls this one's caller.
#[track_caller]
fn weakened(ordering: Ordering) -> Ordering {
    let at = Location::caller();
    match &*WEAKENED {
        Some((file, line, to)) if at.line() == *line && at.file().ends_with(file) => *to,
        _ => ordering,
    }
}

/// Words that nobody looks at before there is a second thread.
const SPARE: usize = 8;

/// Where the fences of `SeqCst` accesses stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fences {
    /// Behind every write: a read that is weaker isn't noticed.
    AfterWrites,
    /// Before every read: a write that is weaker isn't noticed.
    BeforeReads,
}

/// What there is in one execution.
struct World {
    fences: Fences,
    /// Whether there is a second thread.
    shared: Cell<bool>,
    words: RefCell<HashMap<usize, Rc<Modelled>>>,
    spare: RefCell<Vec<Rc<Modelled>>>,
    constants: RefCell<HashSet<usize>>,
    sleepers: loom::sync::Mutex<futex::Sleepers>,
}

thread_local! {
    // All threads of a model take turns in one thread of the system.
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
    /// Executions so far.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Begins an execution. The calling thread is the one that makes what the others use.
pub fn begin(fences: Fences) {
    let world = World {
        fences,
        shared: Cell::new(false),
        words: RefCell::default(),
        spare: RefCell::new((0..SPARE).map(|_| Rc::new(Modelled::new(0))).collect()),
        constants: RefCell::default(),
        sleepers: loom::sync::Mutex::default(),
    };
    WORLD.set(Some(Rc::new(world)));
    COUNT.set(COUNT.get() + 1);
}

/// To be called when a thread begins: whether others may look at a word meanwhile.
pub fn share(shared: bool) {
    world().shared.set(shared);
}

/// How many executions this thread of the system has gone through.
pub fn executions() -> usize {
    COUNT.get()
}

fn world() -> Rc<World> {
    WORLD.with_borrow(|world| world.clone().expect("call begin first"))
}

/// The calling thread's number, from 1.
pub(crate) fn thread_id() -> u32 {
    let name = format!("{:?}", loom::thread::current().id());
    let number = name.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u32>();
    1 + number.expect("an id has a number")
}
