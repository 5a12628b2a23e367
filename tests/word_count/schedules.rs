//! The books alone, under every schedule of workers that die.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use proptest::prelude::*;

use crate::books::{Books, Counts, Job, Turn};

const WORKERS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    DiesBeforeTheChange,
    DiesInTheChange,
    DiesAfterTheChange,
    Lives,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        1 => Just(Fate::DiesBeforeTheChange),
        2 => Just(Fate::DiesInTheChange),
        1 => Just(Fate::DiesAfterTheChange),
        4 => Just(Fate::Lives),
    ]
}

/// The workers of a job, and what became of its files.
struct Workers {
    job: Job,
    /// What each worker has in hand: lost when it dies, and its successor asks the books.
    in_hand: [Option<u32>; WORKERS],
    taken: HashSet<u32>,
    settled: HashSet<u32>,
    reported: Vec<(u32, i32)>,
}

impl Workers {
    /// The next thing that the worker does.
    fn step(&mut self, worker: usize, fate: Fate) {
        if fate == Fate::DiesBeforeTheChange {
            self.in_hand[worker] = None;
        }
        match self.in_hand[worker] {
            None => {
                if let Some(Turn::Count(file)) = self.change(fate, |books| books.next_turn(worker)) {
                    self.taken.insert(file);
                    self.in_hand[worker] = Some(file);
                }
            }
            Some(file) => {
                if self.change(fate, |books| books.settle(worker, counts(file), errno(file))).is_some() {
                    assert!(self.settled.insert(file), "{file} was settled twice");
                }
                self.in_hand[worker] = None;
            }
        }
        if fate == Fate::DiesAfterTheChange {
            self.in_hand[worker] = None;
        }
        self.reported.extend(self.job.change(Books::progress).unwrap().unreadable);
    }

    /// Makes a change, unless the worker dies in it: by a panic here, which poisons the lock as a death does.
    fn change<R>(&self, fate: Fate, change: impl FnOnce(&mut Books) -> R) -> Option<R> {
        if fate != Fate::DiesInTheChange {
            return Some(self.job.change(change).unwrap());
        }
        let dying = |books: &mut Books| {
            change(books);
            *books = Books::default();
            books.totals.lines = 1 << 40;
            // Like panic, without the message.
            resume_unwind(Box::new("dead"));
        };
        catch_unwind(AssertUnwindSafe(|| self.job.change(dying))).expect_err("nobody died");
        None
    }
}

fn counts(file: u32) -> Counts {
    Counts { lines: 1, words: 1 << file, bytes: 3 }
}

fn errno(file: u32) -> Option<i32> {
    (file % 5 == 4).then_some(file as i32)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_file_is_counted_once_and_reported_once_whoever_dies(
        files in 0_u32..12,
        held_back in 0_u32..15,
        steps in proptest::collection::vec((0..WORKERS, fate()), 0..120),
    ) {
        let job = Job::new(files, held_back);
        let (taken, settled, reported) = Default::default();
        let mut workers = Workers { job, in_hand: [None; WORKERS], taken, settled, reported };
        for (worker, fate) in steps {
            workers.step(worker, fate);
        }
        prop_assert!(workers.taken.iter().all(|&file| file < files.saturating_sub(held_back)));

        for _ in 0..held_back {
            workers.job.change(Books::hold_back_one_less).unwrap();
        }
        for _ in 0..=2 * files {
            for worker in 0..WORKERS {
                workers.step(worker, Fate::Lives);
            }
        }
        for worker in 0..WORKERS {
            prop_assert_eq!(workers.job.change(|books| books.next_turn(worker)).unwrap(), Turn::Finish);
        }
        let expected = Counts { lines: files.into(), words: (1 << files) - 1, bytes: 3 * u64::from(files) };
        prop_assert_eq!(workers.job.change(|books| books.totals).unwrap(), expected);
        prop_assert_eq!(workers.job.change(Books::progress).unwrap().done, files);
        workers.reported.sort_unstable();
        let unreadable: Vec<_> = (0..files).filter_map(|file| Some((file, errno(file)?))).collect();
        prop_assert_eq!(workers.reported, unreadable);
    }
}
