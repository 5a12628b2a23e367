//! One body, every surrounding: a claim of the API is written once and tested on the stack and in a cell, between
//! threads and between processes, for every backend.
//!
//! | macro | tests that it makes, for each backend |
//! |---|---|
//! | [`anywhere!`] | `plain`, `in_a_cell` |
//! | [`in_threads_and_processes!`] | `threads`, `threads_in_a_cell`, `processes` |
//! | [`in_processes!`] | `processes` |
//! | [`in_processes_with_private_memory!`] | `processes`, where locks work outside of cells |
//!
//! A test is called `file::claim::backend::surrounding`. Bodies are generic over the backend `B`; another backend is one
//! line in [`for_every_backend!`]. `plain` and `threads` exist where a backend's locks work outside of cells.

use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use pshared::backend::Backend;
use pshared::{Shm, ShmSafe};

use super::child::{self, Child, Peer};
use super::state::wait_until;
use super::watchdog;

/// Repeats what it is given in a module for each backend, where `Backend` is that backend; what stands under `anywhere`
/// only for those whose locks work outside of cells too.
macro_rules! for_every_backend {
    (in_cells { $($in_cells:tt)* } anywhere { $($anywhere:tt)* }) => {
        $crate::support::claims::for_every_backend! { @backend futex Futex $($in_cells)* $($anywhere)* }
        $crate::support::claims::for_every_backend! { @backend pthread Pthread $($in_cells)* }
        $crate::support::claims::for_every_backend! { @backend posix Posix $($in_cells)* }
        $crate::support::claims::for_every_backend! { @backend sysv Sysv $($in_cells)* }
    };
    (@backend $module:ident $backend:ident) => {};
    (@backend $module:ident $backend:ident $($items:tt)*) => {
        mod $module {
            use super::*;
            type Backend = pshared::$module::$backend;
            $($items)*
        }
    };
    ($($items:tt)*) => {
        $crate::support::claims::for_every_backend! { in_cells { $($items)* } anywhere {} }
    };
}

/// A claim that one thread can check alone.
macro_rules! anywhere {
    ($(#[doc = $doc:literal])* $name:ident, $state:ty = $new:expr, |$s:pat_param| $body:block) => {
        $(#[doc = $doc])*
        mod $name {
            use super::*;
            type State<B> = $state;
            fn new<B: pshared::backend::Backend>() -> State<B> {
                $new
            }
            fn body<B: pshared::backend::Backend>($s: &State<B>) $body

            $crate::support::claims::for_every_backend! {
                in_cells {
                    #[test]
                    fn in_a_cell() {
                        let _watchdog = $crate::support::watchdog::watch(module_path!());
                        let named = $crate::support::claims::Named::create(new::<Backend>);
                        body(&*named.shm);
                    }
                }
                anywhere {
                    #[test]
                    fn plain() {
                        let _watchdog = $crate::support::watchdog::watch(module_path!());
                        body(&new::<Backend>());
                    }
                }
            }
        }
    };
}

/// A claim about several threads or processes: what each of the workers does, and what the test does meanwhile.
macro_rules! in_threads_and_processes {
    ($(#[doc = $doc:literal])* $name:ident, $state:ty = $new:expr, workers = $workers:expr,
     |$s:pat_param, $me:pat_param| $work:block, |$t:pat_param, $all:pat_param| $main:block) => {
        $crate::support::claims::in_processes! {
            @claim $(#[doc = $doc])* $name, $state = $new, workers = $workers, |$s, $me| $work, |$t, $all| $main,
            in_cells {
                #[test]
                fn threads_in_a_cell() {
                    let name = concat!(module_path!(), "::threads_in_a_cell");
                    let named = $crate::support::claims::Named::create(new);
                    $crate::support::claims::run_in_threads(name, $workers, named.shm.clone(), work::<Backend>, main::<Backend>);
                }
            }
            anywhere {
                #[test]
                fn threads() {
                    let name = concat!(module_path!(), "::threads");
                    $crate::support::claims::run_in_threads(name, $workers, std::sync::Arc::new(new()), work::<Backend>, main::<Backend>);
                }
            }
        }
    };
}

/// The same for what only processes can do.
macro_rules! in_processes {
    (@claim $(#[doc = $doc:literal])* $name:ident, $state:ty = $new:expr, workers = $workers:expr,
     |$s:pat_param, $me:pat_param| $work:block, |$t:pat_param, $all:pat_param| $main:block,
     in_cells { $($in_cells:tt)* } anywhere { $($anywhere:tt)* }) => {
        $(#[doc = $doc])*
        mod $name {
            use super::*;
            type State<B> = $state;
            fn new<B: pshared::backend::Backend>() -> State<B> {
                $new
            }
            fn work<B: pshared::backend::Backend>($s: &State<B>, $me: &$crate::support::claims::Me) $work
            fn main<B: pshared::backend::Backend>($t: &State<B>, $all: &mut $crate::support::claims::Workers) $main

            $crate::support::claims::for_every_backend! {
                in_cells {
                    $($in_cells)*
                    #[test]
                    fn processes() {
                        let name = concat!(module_path!(), "::processes");
                        $crate::support::claims::run_in_processes(name, $workers, new, work::<Backend>, main::<Backend>);
                    }
                }
                anywhere { $($anywhere)* }
            }
        }
    };
    ($(#[doc = $doc:literal])* $name:ident, $state:ty = $new:expr, workers = $workers:expr,
     |$s:pat_param, $me:pat_param| $work:block, |$t:pat_param, $all:pat_param| $main:block) => {
        $crate::support::claims::in_processes! {
            @claim $(#[doc = $doc])* $name, $state = $new, workers = $workers, |$s, $me| $work, |$t, $all| $main,
            in_cells {} anywhere {}
        }
    };
}

/// The same for what is about locks outside of the cell that the processes share.
macro_rules! in_processes_with_private_memory {
    ($(#[doc = $doc:literal])* $name:ident, $state:ty = $new:expr, workers = $workers:expr,
     |$s:pat_param, $me:pat_param| $work:block, |$t:pat_param, $all:pat_param| $main:block) => {
        $(#[doc = $doc])*
        mod $name {
            use super::*;
            type State<B> = $state;
            fn new<B: pshared::backend::Backend>() -> State<B> {
                $new
            }
            fn work<B: pshared::backend::Backend>($s: &State<B>, $me: &$crate::support::claims::Me) $work
            fn main<B: pshared::backend::Backend>($t: &State<B>, $all: &mut $crate::support::claims::Workers) $main

            $crate::support::claims::for_every_backend! {
                in_cells {}
                anywhere {
                    #[test]
                    fn processes() {
                        let name = concat!(module_path!(), "::processes");
                        $crate::support::claims::run_in_processes(name, $workers, new, work::<Backend>, main::<Backend>);
                    }
                }
            }
        }
    };
}

pub(crate) use {
    anywhere, for_every_backend, in_processes, in_processes_with_private_memory, in_threads_and_processes,
};

/// Whether the kernel tells of every death by the time that the process has ended; elsewhere whoever waits, or comes, finds
/// out. (On POSIX threads it tells of a mutex's owner, see the tests of its own.)
pub fn tells_of_deaths<B: Backend>() -> bool {
    B::NAME == "futex"
}

/// What a death that is over brings about: at once where the kernel tells of deaths, elsewhere as soon as somebody finds out.
#[track_caller]
pub fn eventually<B: Backend>(what: &str, mut reached: impl FnMut() -> bool) {
    if tells_of_deaths::<B>() {
        assert!(reached(), "{what}: not marked by the kernel");
    } else {
        wait_until(what, reached);
    }
}

/// A cell in shared memory under a name of its own, which goes away with it.
pub struct Named<S: ShmSafe> {
    pub name: String,
    pub shm: Shm<S>,
}

impl<S: ShmSafe> Named<S> {
    pub fn create(new: fn() -> S) -> Named<S> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("pshared-claim-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let shm = Shm::create(&name, || Ok(new())).unwrap();
        Named { name, shm }
    }
}

impl<S: ShmSafe> Drop for Named<S> {
    fn drop(&mut self) {
        Shm::<S>::remove(&self.name).unwrap();
    }
}

/// A worker, as it sees itself: its number from 0, and its line to the test.
pub struct Me {
    pub number: usize,
    peer: Peer,
}

impl Deref for Me {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

/// A worker, as the test sees it.
pub enum Worker {
    Thread(Peer, JoinHandle<()>),
    Process(Child),
}

impl Deref for Worker {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        match self {
            Worker::Thread(peer, _) => peer,
            Worker::Process(child) => &child.peer,
        }
    }
}

impl Worker {
    /// Waits for its end, which must be a good one.
    fn finish(self) {
        match self {
            Worker::Thread(_, handle) => handle.join().expect("a worker failed"),
            Worker::Process(child) => child.finish(),
        }
    }
}

/// The workers that the test hasn't waited for.
pub struct Workers {
    each: Vec<Worker>,
}

impl Deref for Workers {
    type Target = [Worker];

    fn deref(&self) -> &[Worker] {
        &self.each
    }
}

impl Workers {
    /// Waits until all have ended well.
    pub fn finish(&mut self) {
        self.each.drain(..).for_each(Worker::finish);
    }

    /// The first one's process, to be killed or waited for.
    pub fn take_process(&mut self) -> Child {
        match self.each.remove(0) {
            Worker::Process(child) => child,
            Worker::Thread(..) => panic!("a thread, not a process"),
        }
    }
}

pub fn run_in_threads<S: Sync + 'static>(
    test: &str,
    workers: usize,
    state: impl Deref<Target = S> + Clone + Send + 'static,
    work: fn(&S, &Me),
    main: fn(&S, &mut Workers),
) {
    let _watchdog = watchdog::watch(test);
    let start = |number| {
        let state = state.clone();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let me = Me { number, peer: Peer::new(theirs) };
        Worker::Thread(Peer::new(ours), thread::spawn(move || work(&state, &me)))
    };
    let mut workers = Workers { each: (0..workers).map(start).collect() };
    main(&state, &mut workers);
    workers.finish();
}

pub fn run_in_processes<S: ShmSafe>(
    test: &str,
    workers: usize,
    new: fn() -> S,
    work: fn(&S, &Me),
    main: fn(&S, &mut Workers),
) {
    if let Some((_, args, peer)) = child::role() {
        let state = Shm::<S>::open(&args[0]).unwrap();
        work(&state, &Me { number: args[1].parse().unwrap(), peer });
        return;
    }
    let _watchdog = watchdog::watch(test);
    let named = Named::create(new);
    let (_crate, in_crate) = test.split_once("::").unwrap();
    let start = |number: usize| Worker::Process(child::spawn(in_crate, "worker", &[&named.name, &number.to_string()]));
    let mut workers = Workers { each: (0..workers).map(start).collect() };
    main(&named.shm, &mut workers);
    workers.finish();
}
