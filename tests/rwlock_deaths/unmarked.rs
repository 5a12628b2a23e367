//! Deaths that the kernel doesn't tell of: waiters find out by asking whether the owner lives.

use crate::actor::{Found, Stage};

#[test]
fn e15_a_reader_whose_death_is_not_marked_is_found_gone() {
    let stage = Stage::<64>::new();
    let [reader, writer] = [(); 2].map(|()| stage.actor());
    assert_eq!(reader.takes("read"), Found::Clean);
    writer.sleep_on("write");
    assert_eq!(reader.ask("forget-list"), "done");
    reader.kill();
    assert_eq!(writer.found(), Found::Clean);
    writer.unlock();
    assert_eq!(stage.must_be_free(), Found::Clean);
}

#[test]
fn e15_a_writer_whose_death_is_not_marked_is_found_gone() {
    for waits in ["read", "write", "upgradable", "timed-read"] {
        let stage = Stage::<64>::new();
        let [owner, waiter] = [(); 2].map(|()| stage.actor());
        assert_eq!(owner.takes("write"), Found::Clean);
        waiter.sleep_on(waits);
        assert_eq!(owner.ask("forget-list"), "done");
        owner.kill();
        assert_eq!(waiter.found(), Found::Poisoned, "{waits}");
        waiter.unlock();
        assert_eq!(stage.must_be_free(), Found::Poisoned);
    }
}

#[test]
fn e15_a_reader_whose_death_is_not_marked_gives_its_place_to_the_reader_too_many() {
    let stage = Stage::<1>::new();
    let [reader, next] = [(); 2].map(|()| stage.actor());
    assert_eq!(reader.takes("read"), Found::Clean);
    next.sleep_on("read");
    assert_eq!(reader.ask("forget-list"), "done");
    reader.kill();
    assert_eq!(next.found(), Found::Clean);
    next.unlock();
    assert_eq!(stage.must_be_free(), Found::Clean);
}

#[test]
fn e15_a_try_finds_out_too() {
    let stage = Stage::<1>::new();
    let [reader, writer] = [(); 2].map(|()| stage.actor());
    assert_eq!(reader.takes("read"), Found::Clean);
    assert_eq!(reader.ask("forget-list"), "done");
    reader.kill();
    assert_eq!(stage.must_be_free(), Found::Clean);
    assert_eq!(writer.takes("write"), Found::Clean);
    assert_eq!(writer.ask("forget-list"), "done");
    writer.kill();
    assert_eq!(stage.must_be_free(), Found::Poisoned);
}
