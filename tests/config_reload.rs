//! The configuration example: nobody ever sees a half-written one, whoever is killed.

#[path = "../examples/common/mod.rs"]
mod common;
#[path = "../examples/config_reload/config.rs"]
#[allow(dead_code, reason = "the tests don't use all that the example does")]
mod config;
#[path = "support/example.rs"]
mod example;

use config::Config;
use example::*;

static CONFIG_RELOAD: Example = Example::new("config_reload");
const NO_FILES: &[&str] = &[];

#[test]
fn readers_see_whole_settings_up_to_the_last() {
    for readers in ["1", "8"] {
        let output = CONFIG_RELOAD.run(&["--readers", readers, "--reloads", "200"], NO_FILES);
        assert!(output.status.success(), "{output:?}");
        assert!(last_line(&output).ends_with(" reads, 200 reloads, 0 kills, 0 torn"), "{output:?}");
        assert!(!last_line(&output).starts_with("0 reads"), "{output:?}");
    }
}

#[test]
fn readers_see_whole_settings_when_any_of_them_is_killed() {
    let output = CONFIG_RELOAD.run(&["--reloads", "1000", "--kill", "20"], NO_FILES);
    assert!(output.status.success(), "{output:?}");
    assert!(last_line(&output).ends_with(" reads, 1000 reloads, 20 kills, 0 torn"), "{output:?}");
}

#[test]
fn readers_see_whole_settings_when_the_writer_is_killed_in_the_middle() {
    wait_for("a writer in the middle", || {
        let boss = CONFIG_RELOAD.start(&["--reloads", "2000"], NO_FILES);
        let config = open_job::<Config>(&CONFIG_RELOAD, &boss);
        // Readers hold it for writing after a death only, and not for long.
        let is_held = || (0..3).all(|_| config.settings.is_locked_exclusive());
        let killed = kill_where(&boss, 5, |worker| slot_of(worker) == Some(0) && is_held());
        let output = boss.finish();
        assert!(output.status.success(), "{output:?}");
        assert!(last_line(&output).ends_with(" 2000 reloads, 0 kills, 0 torn"), "{output:?}");
        (killed > 0 && config.read().unwrap().repairs() > 0).then_some(())
    });
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    assert_that_an_interrupt_leaves_nothing(&CONFIG_RELOAD, &["--reloads", "1000000000"], NO_FILES);
}

#[test]
fn numbers_of_readers_that_make_no_sense_are_refused() {
    for readers in ["0", "65"] {
        let output = CONFIG_RELOAD.run(&["--readers", readers], NO_FILES);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}
