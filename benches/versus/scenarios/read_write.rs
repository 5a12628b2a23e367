//! Locks for readers and writers: that nobody else wants, and that several processes use.

use crate::figure::Column;
use crate::place::Made;
use crate::run::{Contest, Run, Scenario, Stopwatch};
use crate::subjects::read_write::{OwnLines, ReadWrite, VisitReadWrites, read_writes};
use crate::team::{Answer, Role, Seat, Team};

/// Read + unlock and write + unlock.
pub const UNCONTENDED: Scenario = Scenario {
    name: "rwlock-uncontended",
    about: "read + unlock, write + unlock, nobody else is there",
    roles: Vec::new,
    measure: uncontended,
};

/// Processes that read, and write now and then.
pub const SHARED: Scenario = Scenario {
    name: "rwlock-shared",
    about: "1 to 8 processes that read, and write 0, 1, 5 or 20 % of the times: reads and writes per second, and what the \
            least and the most got",
    roles,
    measure: shared,
};

const PROCESSES: [usize; 4] = [1, 2, 4, 8];

const THROUGHPUT: [Column; 4] = [
    Column::higher("1 process", "M/s"),
    Column::higher("2", "M/s"),
    Column::higher("4", "M/s"),
    Column::higher("8", "M/s"),
];

const SHARES: [Column; 6] = [
    Column::higher("least of 2", "%"),
    Column::lower("most", "%"),
    Column::higher("least of 4", "%"),
    Column::lower("most", "%"),
    Column::higher("least of 8", "%"),
    Column::lower("most", "%"),
];

/// One in so many is a write; 0 for none.
const WRITE_EVERY: [(u64, &str); 4] = [(0, "only reads"), (100, "1 % writes"), (20, "5 % writes"), (5, "20 % writes")];

fn uncontended(run: &mut Run) {
    let columns = [Column::lower("read", "ns"), Column::lower("write", "ns")];
    let mut contest = run.contest(UNCONTENDED.name, UNCONTENDED.about, &columns);
    struct Enter<'a, 'r>(&'a mut Contest<'r>);
    impl VisitReadWrites for Enter<'_, '_> {
        fn visit<S: ReadWrite>(&mut self) {
            let effort = self.0.effort();
            let (mut read, mut write) = (Stopwatch::default(), Stopwatch::default());
            let subject = Made::<S>::new();
            self.0.enter(S::NAME, move || {
                let read = read.sample(effort, || subject.reading(|_| {}));
                Ok(vec![read, write.sample(effort, || subject.writing(|_| {}))])
            });
        }
    }
    read_writes(&mut Enter(&mut contest));
    enter_floor(&mut contest);
    leave_out(&mut contest);
    contest.hold();
}

fn leave_out(contest: &mut Contest<'_>) {
    let iceoryx = "its pthread_rwlock_t is for one process only (0.10.0, read in its source)";
    contest.leave_out("iceoryx2-bb-posix ReadWriteMutex", iceoryx);
    contest.leave_out("std::fs::File::lock_shared", "is flock, which is in it");
}

/// The floor is one for both ways: whoever is alone needs one word.
fn enter_floor(contest: &mut Contest<'_>) {
    let (effort, mut stopwatch) = (contest.effort(), Stopwatch::default());
    let subject = Made::<OwnLines>::new();
    contest.enter("floor: CAS + exchange", move || {
        let nanos = stopwatch.sample(effort, || subject.reading(|_| {}));
        Ok(vec![nanos, nanos])
    });
}

fn shared(run: &mut Run) {
    for (write_every, writes) in WRITE_EVERY {
        let title = format!("{}, {writes}", SHARED.name);
        let mut contest = run.contest(&title, "reads and writes per second of all together", &THROUGHPUT);
        let about = "what the least and the most of them got; 100 % is an equal share";
        contest.further(&format!("{title}, shares"), about, &SHARES);
        let mut enter = Enter { contest: &mut contest, write_every };
        read_writes(&mut enter);
        if write_every == 0 {
            enter.visit::<OwnLines>();
        }
        leave_out(&mut contest);
        let rounds = contest.effort().few_rounds();
        contest.hold_rounds(rounds);
    }
}

struct Enter<'a, 'r> {
    contest: &'a mut Contest<'r>,
    write_every: u64,
}

impl VisitReadWrites for Enter<'_, '_> {
    fn visit<S: ReadWrite>(&mut self) {
        let (write_every, effort) = (self.write_every, self.contest.effort());
        let mut team = None;
        self.contest.enter(S::NAME, move || {
            let team = team.get_or_insert_with(|| Team::<S>::new(&[MIX; 8], roles));
            let (mut together, mut shares) = (Vec::new(), Vec::new());
            for processes in PROCESSES {
                // Long enough for each to get its turns.
                let time = effort.sample() * (processes as u32).div_ceil(2);
                let (took, answers) = team.crew.play(processes, &[write_every], time)?;
                if answers.iter().any(|[done, sound, ..]| done != sound) {
                    return Err("let a reader in beside a writer".into());
                }
                let got = || answers.iter().map(|[done, ..]| *done);
                let all: u64 = got().sum();
                together.push(all as f64 / took.as_secs_f64() / 1e6);
                if processes > 1 {
                    let share = |got: u64| (got * processes as u64) as f64 / all.max(1) as f64 * 100.0;
                    shares.extend([share(got().min().unwrap()), share(got().max().unwrap())]);
                }
            }
            together.append(&mut shares);
            Ok(together)
        });
    }
}

const MIX: &str = "mix";

fn roles() -> Vec<Role> {
    struct List(Vec<Role>);
    impl VisitReadWrites for List {
        fn visit<S: ReadWrite>(&mut self) {
            self.0.push(Role::new(MIX, mix::<S>));
        }
    }
    let mut list = List(Vec::new());
    read_writes(&mut list);
    list.visit::<OwnLines>();
    list.0
}

/// Reads and writes until the time is up: how often, and how often it found what it should.
fn mix<S: ReadWrite>(subject: &S, seat: &Seat<'_>) -> Answer {
    let (mut done, mut sound) = (0, 0);
    let write_every = seat.parameter(0);
    // Not all at the same time.
    let mut until_write = if write_every == 0 { u64::MAX } else { 1 + seat.number as u64 % write_every };
    while !seat.is_over() {
        until_write -= 1;
        let is_sound = if until_write == 0 {
            until_write = write_every;
            subject.writing(add_one)
        } else {
            subject.reading(is_whole)
        };
        done += 1;
        sound += u64::from(is_sound);
    }
    [done, sound, 0, 0]
}

#[inline(always)]
fn is_whole([one, other]: &[u64; 2]) -> bool {
    one == other
}

#[inline(always)]
fn add_one(numbers: &mut [u64; 2]) -> bool {
    let was_whole = is_whole(numbers);
    numbers.iter_mut().for_each(|number| *number += 1);
    was_whole
}
