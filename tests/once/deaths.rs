//! Deaths: of whoever is at it, at any instruction, and of whoever waits for it. Another does it, and nobody is left asleep.

use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::{alarm, gettid};
use pshared::{Once, OnceLock, Shm};

use super::{Cause, Error, LONG, ShmSafe, panic_once};
use crate::support::child::{self, Child, Peer};
use crate::support::claims::{Named, in_processes};
use crate::support::kill_points::KillPoints;
use crate::support::schedule;
use crate::support::state::{tid, wait_until_asleep_in_a_lock};
use crate::support::stepper::{Stepper, Stop, mark};

in_processes!(
    /// E12 of the list of hazards: also if the one that replaces it dies.
    who_dies_at_it_is_replaced_and_the_next_is_told,
    pshared::generic::Once<B> = pshared::generic::Once::new(),
    workers = 3,
    |once, me| {
        me.say(&tid().to_string());
        me.expect("go");
        let mut told = None;
        let ended = once.call_once_force(|state| {
            told = state.cause();
            me.say("begun");
            me.hear();
        });
        assert_eq!(ended, Ok(()));
        assert_eq!(told, Some(Cause::OwnerDied));
    },
    |once, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        workers[0].say("go");
        for next in &ids[1..] {
            workers[0].expect("begun");
            workers[1].say("go");
            wait_until_asleep_in_a_lock(*next);
            workers.take_process().kill();
            assert!(!once.is_completed() && !once.is_poisoned());
        }
        workers[0].expect("begun");
        workers[0].say("end");
        workers.finish();
        assert!(once.is_completed());
    }
);

in_processes!(
    a_value_whose_maker_dies_is_made_by_another,
    pshared::generic::OnceLock<[u64; 2], B> = pshared::generic::OnceLock::new(),
    workers = 2,
    |lock, me| {
        me.say(&tid().to_string());
        me.expect("go");
        let value = lock.get_or_init(|| {
            if me.number == 0 {
                me.say("begun");
                me.hear();
            }
            [me.number as u64; 2]
        });
        assert_eq!(value, Ok(&[1; 2]));
    },
    |lock, workers| {
        let ids: Vec<u32> = workers.iter().map(|worker| worker.hear().parse().unwrap()).collect();
        workers[0].say("go");
        workers[0].expect("begun");
        workers[1].say("go");
        wait_until_asleep_in_a_lock(ids[1]);
        workers.take_process().kill();
        workers.finish();
        assert_eq!(lock.get(), Some(&[1; 2]));
    }
);

in_processes!(
    a_panic_is_not_forgotten_over_a_death,
    pshared::generic::Once<B> = pshared::generic::Once::new(),
    workers = 1,
    |once, me| {
        panic_once(once);
        let _ = once.call_once_force(|state| {
            assert_eq!(state.cause(), Some(Cause::Panicked));
            me.say("begun");
            me.hear();
        });
    },
    |once, workers| {
        workers[0].expect("begun");
        assert!(once.is_poisoned());
        workers.take_process().kill();
        assert!(once.is_poisoned());
        assert_eq!(once.call_once(|| panic!("not to be run")), Err(Error::InitPanicked));
        assert_eq!(once.wait(), Err(Error::InitPanicked));
        once.call_once_force(|state| assert_eq!(state.cause(), Some(Cause::OwnerDied))).unwrap();
        assert!(once.is_completed() && !once.is_poisoned());
    }
);

// Killed after each instruction.

#[repr(C)]
#[derive(ShmSafe)]
struct Table {
    once: Once,
    lock: OnceLock<[u32; 8]>,
    /// For a thread's first call, which prepares it.
    other: Once,
    effect: AtomicU32,
}

const WHOLE: u32 = 2;

impl Table {
    fn new() -> Table {
        Table { once: Once::new(), lock: OnceLock::new(), other: Once::new(), effect: AtomicU32::new(0) }
    }

    /// What is done once: in two steps.
    fn effect(&self) {
        self.effect.store(1, Ordering::SeqCst);
        self.effect.store(WHOLE, Ordering::SeqCst);
    }

    /// The owner part of the word, which stands where libc's own robust mutexes have theirs.
    fn owner(&self) -> u32 {
        let at = if cfg!(target_env = "musl") { 4 } else { 0 };
        // SAFETY: inside the Once, whose first 40 bytes are its atomic words; aligned like them.
        let word = unsafe { &*(&raw const self.once).cast::<u8>().add(at).cast::<AtomicU32>() };
        word.load(Ordering::SeqCst) & libc::FUTEX_TID_MASK
    }
}

const TEST: &str = "deaths::the_process_that_acts";

/// Not a test by itself: the processes that the others start.
#[test]
fn the_process_that_acts() {
    let Some((_, args, peer)) = child::role() else { return };
    let table = Shm::<Table>::open(&args[0]).unwrap();
    table.other.call_once(|| {}).unwrap();
    peer.say(&gettid().to_string());
    loop {
        let command = peer.hear();
        alarm::set(60); // the watchdog, wound up again
        peer.say(&do_as_told(&table, &command, &peer));
    }
}

fn do_as_told(table: &Table, command: &str, peer: &Peer) -> String {
    match command {
        "call" => call(table, || {}),
        "begin" => call(table, || {
            peer.say("begun");
            peer.expect("finish");
        }),
        "begin, step to the end" => {
            let said = call(table, || {
                peer.say("begun");
                peer.expect("finish");
                mark();
            });
            mark();
            said
        }
        "step call" => {
            mark();
            table.once.call_once(|| table.effect()).unwrap();
            mark();
            "done".into()
        }
        "step value" => {
            mark();
            let value = table.lock.get_or_init(|| [7; 8]);
            mark();
            format!("{value:?}")
        }
        "wait" => format!("{:?}", table.once.wait_timeout(LONG)),
        "step wait" => {
            mark();
            let ended = table.once.wait();
            mark();
            format!("{ended:?}")
        }
        "forget list" => {
            // From now on the kernel marks nothing at this thread's end.
            let size = 3 * size_of::<usize>();
            // SAFETY: a null list is none, and the length is the one that the kernel asks for.
            let done = unsafe { libc::syscall(libc::SYS_set_robust_list, std::ptr::null::<u8>(), size) };
            nix::errno::Errno::result(done).unwrap();
            "done".into()
        }
        other => panic!("no command is called {other}"),
    }
}

fn call(table: &Table, meanwhile: impl FnOnce()) -> String {
    let mut told = None;
    let ended = table.once.call_once_force(|state| {
        meanwhile();
        told = Some(state.cause());
        table.effect();
    });
    match told {
        None => format!("{ended:?}"),
        Some(cause) => format!("did it after {cause:?}"),
    }
}

struct Stage {
    named: Named<Table>,
}

impl Stage {
    fn new() -> Stage {
        Stage { named: Named::create(Table::new) }
    }

    fn table(&self) -> &Table {
        &self.named.shm
    }

    fn actor(&self) -> Actor {
        let child = child::spawn(TEST, "actor", &[&self.named.name]);
        Actor { tid: child.peer.hear().parse().unwrap(), child }
    }

    /// Everybody who was woken has been by now: this one is stranded if it still sleeps.
    fn is_stranded(&self, actor: &Actor) -> bool {
        let nobody_at_it = || self.table().owner() == 0 || self.table().once.is_completed();
        nobody_at_it() && schedule::is_asleep(actor.tid) && nobody_at_it()
    }
}

struct Actor {
    child: Child,
    tid: u32,
}

impl Actor {
    fn tell(&self, command: &str) {
        self.child.peer.say(command);
    }

    fn ask(&self, command: &str) -> String {
        self.tell(command);
        self.child.peer.hear()
    }

    fn sleep_in(&self, command: &str) {
        self.tell(command);
        schedule::wait_until_asleep(self.tid);
    }

    fn step_through(&self, command: &str) -> Stepper {
        let stepper = Stepper::seize(self.tid);
        self.tell(command);
        assert_eq!(stepper.stopped(), Stop::Mark);
        stepper
    }
}

#[test]
fn killed_after_each_instruction_of_doing_it() {
    let (mut before, mut at_it, mut done) = (0, 0, 0);
    let mut points = KillPoints::each();
    while points.are_left() {
        let stage = Stage::new();
        let victim = stage.actor();
        let stepper = victim.step_through("step call");
        points.send(&stepper);
        let owned = stage.table().owner() == victim.tid;
        stepper.kill();
        victim.child.kill();
        let table = stage.table();
        assert_ne!(table.owner(), victim.tid, "not marked by the kernel");
        if table.once.is_completed() {
            assert!(!owned);
            assert_eq!(table.effect.load(Ordering::SeqCst), WHOLE);
            done += 1;
        } else {
            let mut told = None;
            table.once.call_once_force(|state| told = state.cause()).unwrap();
            assert_eq!(told, owned.then_some(Cause::OwnerDied), "{points}");
            *(if owned { &mut at_it } else { &mut before }) += 1;
        }
    }
    println!("call_once: {points}: before it {before} times, at it {at_it} times, after it {done} times");
    assert!(before > 10 && at_it > 10 && done > 3);
}

#[test]
fn killed_while_it_makes_a_value() {
    let (mut none, mut whole) = (0, 0);
    let mut points = KillPoints::each();
    while points.are_left() {
        let stage = Stage::new();
        let victim = stage.actor();
        let stepper = victim.step_through("step value");
        points.send(&stepper);
        stepper.kill();
        victim.child.kill();
        let lock = &stage.table().lock;
        match lock.get() {
            None => none += 1,
            Some(value) => {
                assert_eq!(*value, [7; 8]);
                whole += 1;
            }
        }
        let value = *lock.get_or_init(|| [8; 8]).unwrap();
        assert!(value == [7; 8] || value == [8; 8], "{value:?}");
    }
    println!("get_or_init: {points}: without a value {none} times, with one {whole} times");
    assert!(none > 10 && whole > 3);
}

/// E17 of the list of hazards: between publishing and waking there is nothing.
#[test]
fn killed_after_each_instruction_of_the_end_beside_sleepers() {
    let (mut replaced, mut done) = (0, 0);
    let mut points = KillPoints::each();
    while points.are_left() {
        let stage = Stage::new();
        let [victim, waiter, doer] = [(); 3].map(|()| stage.actor());
        assert_eq!(victim.ask("begin, step to the end"), "begun");
        let stepper = Stepper::seize(victim.tid);
        waiter.sleep_in("wait");
        doer.sleep_in("call");
        victim.tell("finish");
        assert_eq!(stepper.stopped(), Stop::Mark);
        points.send(&stepper);
        let victim_id = victim.tid;
        stepper.kill();
        victim.child.kill();
        assert_ne!(stage.table().owner(), victim_id, "not marked by the kernel");
        // The one that was woken may be the waiter, which then wakes the other.
        let stranded = [&doer, &waiter, &doer].into_iter().all(|actor| stage.is_stranded(actor));
        assert!(!stranded, "{points}");
        match doer.child.peer.hear().as_str() {
            "did it after Some(OwnerDied)" => replaced += 1,
            "Ok(())" => done += 1,
            other => panic!("{other}"),
        }
        assert_eq!(waiter.child.peer.hear(), "Ok(())");
        assert_eq!(stage.table().effect.load(Ordering::SeqCst), WHOLE);
    }
    println!("completing beside two sleepers: {points}: replaced {replaced} times, done {done} times");
    assert!(replaced > 10 && done > 3);
}

/// The kernel wakes a waiter for the dead, and that one dies too: whoever may do it is woken all the same.
#[test]
fn a_waiter_killed_after_each_instruction_since_it_was_woken_for_a_death() {
    let (mut points, mut missed) = (KillPoints::each(), 0);
    while points.are_left() {
        let stage = Stage::new();
        let [dead, victim, doer] = [(); 3].map(|()| stage.actor());
        assert_eq!(dead.ask("begin"), "begun");
        let stepper = victim.step_through("step wait");
        stepper.run_until_asleep();
        doer.sleep_in("call");
        let slept = schedule::sleeps(doer.tid);
        dead.child.kill();
        // Somebody who looked up by himself just now changes the order; that round says less, and is done again.
        let met = stepper.stopped() == Stop::Exit { result: 0 } && schedule::sleeps(doer.tid) == slept;
        if met {
            points.send(&stepper);
        }
        stepper.kill();
        victim.child.kill();
        assert!(!stage.is_stranded(&doer), "{points}");
        assert_eq!(doer.child.peer.hear(), "did it after Some(OwnerDied)");
        missed += usize::from(!met);
        assert!(missed < 1000, "the schedule is never met");
    }
    println!("woken waiter, one other sleeper: {points}, 0 stuck");
    assert!(points.kills() > 10);
}

#[test]
fn e15_a_death_that_the_kernel_does_not_tell_of() {
    for waits in [true, false] {
        let stage = Stage::new();
        let [dead, waiter, doer] = [(); 3].map(|()| stage.actor());
        assert_eq!(dead.ask("forget list"), "done");
        assert_eq!(dead.ask("begin"), "begun");
        waiter.sleep_in("wait");
        if waits {
            doer.sleep_in("call");
        }
        let id = dead.tid;
        dead.child.kill();
        assert_eq!(stage.table().owner(), id, "the kernel was not to mark it");
        if !waits {
            // Found out by the waiter, with nobody there who might do it.
            schedule::wait_until("the waiter asks", || stage.table().owner() == 0);
            doer.tell("call");
        }
        assert_eq!(doer.child.peer.hear(), "did it after Some(OwnerDied)");
        assert_eq!(waiter.child.peer.hear(), "Ok(())");
    }
}
