//! Waiters and owners killed around a wake-up, each in its staged schedule.

use crate::actor::{BRIEF, Found, Stage, run_until_asleep};
use crate::staged;
use crate::support::schedule;
use crate::support::stepper::Stop;

#[test]
fn r5_a_blocked_writer_that_is_killed_has_no_effect_on_others() {
    for held in ["write", "read", "upgradable"] {
        for blocked in ["write", "timed-write", "upgradable"] {
            if (held, blocked) == ("read", "upgradable") {
                continue; // isn't blocked
            }
            let stage = Stage::<64>::new();
            let [owner, victim, reader, writer] = [(); 4].map(|()| stage.actor());
            assert_eq!(owner.takes(held), Found::Clean);
            victim.sleep_on(blocked);
            let behind_it = held != "upgradable";
            if behind_it {
                reader.sleep_on("pass-read");
            } else {
                assert_eq!(reader.takes("pass-read"), Found::Clean, "beside an upgradable reader");
            }
            writer.sleep_on("pass-write");
            victim.kill();
            owner.unlock();
            let others = if behind_it { vec![&reader, &writer] } else { vec![&writer] };
            assert!(stage.all_come_through(&others).iter().all(|found| *found == Found::Clean));
            assert_eq!(stage.must_be_free(), Found::Clean);
        }
    }
}

#[test]
fn e2_a_reader_killed_holding_lets_the_writer_in_without_poison() {
    for readers in [1, 3] {
        let stage = Stage::<64>::new();
        let mut holders: Vec<_> = (0..readers).map(|_| stage.actor()).collect();
        let [writer, late, other] = [(); 3].map(|()| stage.actor());
        holders.iter().for_each(|holder| assert_eq!(holder.takes("read"), Found::Clean));
        writer.sleep_on("pass-write");
        late.sleep_on("pass-read");
        other.sleep_on("pass-write");
        while let Some(holder) = holders.pop() {
            assert!(schedule::is_asleep(writer.tid));
            holder.kill();
        }
        assert_eq!(stage.all_come_through(&[&writer, &late, &other]), [Found::Clean; 3]);
        assert_eq!(stage.must_be_free(), Found::Clean);
    }
}

#[test]
fn e2w_a_writer_killed_holding_passes_the_lock_on_with_poison() {
    let stage = Stage::<64>::new();
    let [owner, a, b, c] = [(); 4].map(|()| stage.actor());
    assert_eq!(owner.takes("write"), Found::Clean);
    a.sleep_on("pass-read");
    b.sleep_on("pass-write");
    c.sleep_on("pass-upgradable");
    owner.kill();
    assert_eq!(stage.all_come_through(&[&a, &b, &c]), [Found::Poisoned; 3]);
    assert_eq!(stage.must_be_free(), Found::Poisoned);
}

#[test]
fn e16_a_writer_killed_while_it_waits_for_readers_leaves_no_poison() {
    for command in ["write", "timed-write"] {
        let stage = Stage::<64>::new();
        let [reader, victim, late, writer] = [(); 4].map(|()| stage.actor());
        assert_eq!(reader.takes("read"), Found::Clean);
        victim.sleep_on(command);
        assert_eq!(stage.owners()[0], victim.tid, "it has the gate, and waits for the reader");
        late.sleep_on("pass-read");
        writer.sleep_on("pass-write");
        victim.kill();
        reader.unlock();
        assert_eq!(stage.all_come_through(&[&late, &writer]), [Found::Clean; 2]);
        assert_eq!(stage.must_be_free(), Found::Clean);
    }
    // The same for one that upgrades.
    let stage = Stage::<64>::new();
    let [reader, victim, late] = [(); 3].map(|()| stage.actor());
    assert_eq!((reader.takes("read"), victim.takes("upgradable")), (Found::Clean, Found::Clean));
    victim.sleep_on("upgrade");
    late.sleep_on("pass-read");
    victim.kill();
    assert_eq!(stage.all_come_through(&[&late]), [Found::Clean]);
    reader.unlock();
    assert_eq!(stage.must_be_free(), Found::Clean);
}

#[test]
fn e12_a_recoverer_that_dies_leaves_the_poison() {
    let stage = Stage::<64>::new();
    let [first, second, third] = [(); 3].map(|()| stage.actor());
    assert_eq!(first.takes("write"), Found::Clean);
    first.kill();
    assert_eq!(second.takes("write"), Found::Poisoned);
    second.kill();
    assert_eq!(third.takes("pass-read"), Found::Poisoned);
    assert_eq!(third.ask("recover"), "done");
    assert_eq!(third.takes("pass-read"), Found::Clean);
    assert_eq!(stage.must_be_free(), Found::Clean);
}

/// A wake-up given by a dying process, and taken along by another that dies.
#[test]
fn r2_those_that_are_woken_and_killed_take_nothing_along() {
    for command in ["read", "write", "upgradable"] {
        staged(command, || {
            let stage = Stage::<64>::new();
            let [owner, victim, reader, writer] = [(); 4].map(|()| stage.actor());
            assert_eq!(owner.takes("write"), Found::Clean);
            let stepper = victim.step_through(command);
            run_until_asleep(&stepper, &victim);
            reader.sleep_on("pass-read");
            writer.sleep_on("pass-write");
            owner.kill();
            let woken = matches!(stepper.stopped(), Stop::Exit { result: 0.. });
            stepper.kill();
            victim.kill();
            assert_eq!(stage.all_come_through(&[&reader, &writer]), [Found::Poisoned; 2]);
            assert_eq!(stage.must_be_free(), Found::Poisoned);
            woken.then_some(())
        });
    }
}

/// The reader too many has the gate while it waits.
#[test]
fn a_reader_too_many_that_is_killed_lets_the_others_in() {
    let stage = Stage::<1>::new();
    let [reader, victim, other, writer] = [(); 4].map(|()| stage.actor());
    assert_eq!(reader.takes("read"), Found::Clean);
    victim.sleep_on("read");
    assert_eq!(stage.owners()[0], victim.tid);
    other.sleep_on("pass-read");
    writer.sleep_on("pass-write");
    victim.kill();
    reader.unlock();
    assert_eq!(stage.all_come_through(&[&other, &writer]), [Found::Clean; 2]);
    assert_eq!(stage.must_be_free(), Found::Clean);

    // And if it is the reader that dies, it gets the place.
    let [reader, next, writer] = [(); 3].map(|()| stage.actor());
    assert_eq!(reader.takes("read"), Found::Clean);
    next.sleep_on("pass-read");
    writer.sleep_on("pass-write");
    reader.kill();
    assert_eq!(stage.all_come_through(&[&next, &writer]), [Found::Clean; 2]);
}

#[test]
fn t3_a_timed_reader_that_is_woken_when_its_time_is_up_takes_the_lock() {
    staged("t3", || {
        let stage = Stage::<64>::new();
        let [owner, victim] = [(); 2].map(|()| stage.actor());
        assert_eq!(owner.takes("write"), Found::Clean);
        let stepper = victim.step_through("read-briefly");
        run_until_asleep(&stepper, &victim);
        let deadline = std::time::Instant::now() + BRIEF;
        owner.unlock();
        let met = matches!(stepper.stopped(), Stop::Exit { result: 0.. });
        // Stopped as it was woken, until its time is certainly up.
        schedule::wait_until("its time is up", || std::time::Instant::now() > deadline);
        stepper.detach();
        met.then(|| assert_eq!(victim.found(), Found::Clean))
    });
}
