//! The library's own primitives under contention and kills, on every backend.

use std::marker::PhantomData;
use std::time::Duration;

use proptest::prelude::*;
use pshared::backend::Backend;
use pshared::contend::{Contest, Subject};
use pshared::{ShmData, generic};

/// Tests of a subject, which is generic over the backend, for each of them.
macro_rules! on_every_backend {
    ($($name:ident: $subject:ident),* $(,)?) => { $(
        mod $name {
            use super::*;

            on_every_backend!(@on $subject, futex Futex, pthread Pthread, posix Posix, sysv Sysv);
        }
    )* };
    (@on $subject:ident, $($module:ident $backend:ident),*) => { $(
        #[test]
        fn $module() {
            let report = contest($subject::<pshared::$module::$backend>(PhantomData)).passes();
            assert!(report.kills > 0 && report.undecided == 0, "{report}");
        }
    )* };
}

on_every_backend! {
    a_counter_under_a_mutex_misses_nothing: Counting,
    nobody_reads_half_of_what_is_written_under_an_rwlock: Configuring,
    a_semaphore_loses_no_posts: Posting,
    permits_come_back_from_the_dead: Permitting,
}

fn contest<S: Subject>(subject: S) -> Contest<S> {
    Contest::new(subject).plans(25).kill_rate(0.4).operations(1..=5).kill_within(Duration::from_micros(50))
}

/// Counts twice, so that a death between the two shows; who recovers makes them equal again.
struct Counting<B>(PhantomData<B>);

#[repr(C)]
#[derive(ShmData)]
struct Counts {
    begun: u32,
    done: u32,
}

impl<B: Backend> Subject for Counting<B> {
    type Shared = generic::Mutex<Counts, B>;
    type Op = u32;
    type Answer = u32;
    type Model = u32;

    fn create(&self) -> pshared::Result<Self::Shared> {
        Ok(generic::Mutex::new(Counts { begun: 0, done: 0 }))
    }

    fn ops(&self) -> impl Strategy<Value = u32> {
        1..10_u32
    }

    fn run(&self, counts: &Self::Shared, more: &u32) -> u32 {
        let mut counts = counts.lock_or_recover(|counts, _| counts.done = counts.begun).unwrap();
        assert_eq!(counts.begun, counts.done, "two are in it");
        counts.begun += more;
        counts.done += more;
        counts.done
    }

    fn model(&self) -> u32 {
        0
    }

    fn apply(&self, count: &mut u32, more: &u32) -> u32 {
        *count += more;
        *count
    }

    fn state(&self, counts: &Self::Shared) -> u32 {
        counts.lock_or_recover(|counts, _| counts.done = counts.begun).unwrap().done
    }
}

/// Four settings that are always equal, once somebody has repaired them.
struct Configuring<B>(PhantomData<B>);

#[derive(Clone, Copy, Debug)]
enum Setting {
    Write(u16),
    Read,
}

impl<B: Backend> Subject for Configuring<B> {
    type Shared = generic::RwLock<[u16; 4], B, 64>;
    type Op = Setting;
    type Answer = [u16; 4];
    type Model = [u16; 4];

    fn create(&self) -> pshared::Result<Self::Shared> {
        Ok(generic::RwLock::new([0; 4]))
    }

    fn ops(&self) -> impl Strategy<Value = Setting> {
        prop_oneof![(1..1000_u16).prop_map(Setting::Write), Just(Setting::Read)]
    }

    fn run(&self, settings: &Self::Shared, op: &Setting) -> [u16; 4] {
        let repair = |settings: &mut [u16; 4]| *settings = [settings[0]; 4];
        match op {
            Setting::Write(value) => {
                let mut settings = settings.write_or_recover(|settings, _| repair(settings)).unwrap();
                settings.iter_mut().for_each(|setting| *setting = *value);
                *settings
            }
            Setting::Read => loop {
                if let Ok(settings) = settings.read() {
                    return *settings;
                }
                drop(settings.write_or_recover(|settings, _| repair(settings)).unwrap());
            },
        }
    }

    fn model(&self) -> [u16; 4] {
        [0; 4]
    }

    fn apply(&self, settings: &mut [u16; 4], op: &Setting) -> [u16; 4] {
        if let Setting::Write(value) = op {
            *settings = [*value; 4];
        }
        *settings
    }

    fn state(&self, settings: &Self::Shared) -> [u16; 4] {
        self.run(settings, &Setting::Read)
    }
}

/// Posts, and takes what is there without waiting.
struct Posting<B>(PhantomData<B>);

#[derive(Clone, Copy, Debug)]
enum Post {
    Post,
    Try,
}

impl<B: Backend> Subject for Posting<B> {
    type Shared = generic::Semaphore<B>;
    type Op = Post;
    type Answer = bool;
    type Model = u32;

    fn create(&self) -> pshared::Result<Self::Shared> {
        generic::Semaphore::counting(1)
    }

    fn ops(&self) -> impl Strategy<Value = Post> {
        prop_oneof![Just(Post::Post), Just(Post::Try)]
    }

    fn run(&self, semaphore: &Self::Shared, op: &Post) -> bool {
        match op {
            Post::Post => semaphore.post().is_ok(),
            Post::Try => semaphore.try_wait().is_ok(),
        }
    }

    fn model(&self) -> u32 {
        1
    }

    fn apply(&self, value: &mut u32, op: &Post) -> bool {
        match (op, *value) {
            (Post::Post, _) => *value += 1,
            (Post::Try, 0) => return false,
            (Post::Try, _) => *value -= 1,
        }
        true
    }

    fn state(&self, semaphore: &Self::Shared) -> u32 {
        semaphore.value()
    }
}

/// Two permits for up to four that want one for a while.
struct Permitting<B>(PhantomData<B>);

impl<B: Backend> Subject for Permitting<B> {
    type Shared = generic::Permits<B, 2>;
    type Op = ();
    type Answer = ();
    type Model = usize;

    fn create(&self) -> pshared::Result<Self::Shared> {
        Ok(generic::Permits::new())
    }

    fn ops(&self) -> impl Strategy<Value = ()> {
        Just(())
    }

    fn run(&self, permits: &Self::Shared, _op: &()) {
        let permit = permits.acquire().unwrap();
        assert!(permits.available() < 2, "nobody has this permit");
        drop(permit);
    }

    fn model(&self) -> usize {
        2
    }

    fn apply(&self, _available: &mut usize, _op: &()) {}

    /// What the dead had is told free by the system, or by whoever comes.
    fn state(&self, permits: &Self::Shared) -> usize {
        let both = [permits.acquire().unwrap(), permits.acquire().unwrap()];
        assert_eq!(permits.available(), 0, "more than there are");
        drop(both);
        permits.available()
    }
}
