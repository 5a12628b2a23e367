//! The word count example: equal to `wc`, whoever is killed.

#[path = "../../examples/word_count/books.rs"]
#[allow(dead_code, reason = "the tests don't use all that the example does")]
mod books;
#[path = "../../examples/common/mod.rs"]
mod common;
#[path = "../support/example.rs"]
mod example;
mod run;
mod schedules;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use pshared::Shm;

use books::Job;
use example::*;
use run::*;

#[test]
fn the_totals_of_this_repository_equal_those_of_wc() {
    assert_equals_wc(&["--processes", "4"], &own_files());
}

#[test]
fn the_totals_stay_exact_when_workers_are_killed() {
    let files = own_files();
    for _ in 0..5 {
        let output = assert_equals_wc(&["--processes", "4", "--kill", "3"], &files);
        assert!(text(&output.stderr).contains("workers killed: 3,"), "{output:?}");
    }
}

#[test]
fn odd_files_are_counted_as_wc_does() {
    let dir = TempDir::new("odd");
    let mut random = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    })
    .take(1 << 20)
    .collect();
    // Words, and what parts them, lie across every border between two reads.
    let blocks: Vec<u8> = (0..1 << 20).map(|i: u32| if i % 3 == 2 { b' ' } else { b'w' }).collect();
    let contents: [(&str, &[u8]); 12] = [
        ("empty", b""),
        ("no newline at the end", b"one two\nthree"),
        ("newlines only", b"\n\n\n"),
        ("crlf", b"one\r\ntwo three\r\n"),
        ("every white space", b"a b\tc\nd\x0be\x0cf\rg"),
        ("every byte", &std::array::from_fn::<u8, 256, _>(|byte| byte as u8)),
        (
            "every byte, a word each",
            &std::array::from_fn::<u8, 512, _>(|i| if i % 2 == 0 { (i / 2) as u8 } else { b' ' }),
        ),
        ("control characters within a word", b"a\x01b\x00c \x02d\x7f"),
        ("utf-8", "naïve — “café” …\u{a0}x\n".as_bytes()),
        ("noise", &noise),
        ("one long line", &vec![b'x'; 3 << 20]),
        ("blocks", &blocks),
    ];
    let files: Vec<PathBuf> = contents.iter().map(|(name, bytes)| dir.file(name, bytes)).collect();
    for file in &files {
        // `wc` gives a total for two files or more.
        let with_another = [file.clone(), files[0].clone()];
        assert_equals_wc(&["--processes", "1"], &with_another);
    }
    assert_equals_wc(&["--processes", "4"], &files);
    assert_equals_wc(&["--processes", "4", "--kill", "6"], &files);
}

#[test]
fn a_word_begins_as_in_the_wc_that_was_asked_for() {
    let dir = TempDir::new("words");
    let file = dir.file("a", "\x01 — x\u{1}y\n".as_bytes());
    for (rule, total) in [("printable", " 1  1 10 total"), ("any", " 1  3 10 total")] {
        assert_eq!(last_line(&word_count(&["--words", rule], &[&file])), total);
    }
}

#[test]
fn a_single_file_gets_a_total_too() {
    let dir = TempDir::new("single");
    let output = word_count(&["--processes", "3"], &[dir.file("a", b"one two\n")]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout), "1 2 8 total\n");
}

#[test]
fn unreadable_files_are_reported_as_wc_does_and_the_rest_is_counted() {
    let dir = TempDir::new("unreadable");
    let mut files = Vec::new();
    for i in 0..20 {
        files.push(dir.file(&format!("{i}"), b"some words\n"));
        files.push(dir.path.join(format!("missing {i}")));
        files.push(dir.path.join(format!("missing-{i}")));
    }
    files.push(dir.path.clone());
    files.push(files[0].join("below a file"));
    for kills in ["0", "5"] {
        let ours = word_count(&["--processes", "4", "--kill", kills], &files);
        let theirs = wc(&files);
        assert_eq!(ours.status.code(), Some(1), "{ours:?}");
        assert_eq!(last_line(&ours), last_line(&theirs));
        let complaints: String = text(&ours.stderr)
            .lines()
            .filter(|line| !line.contains("workers killed"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(complaints.replace("word_count: ", "wc: "), text(&theirs.stderr));
    }
}

#[test]
fn more_workers_may_be_killed_than_there_are_files() {
    let dir = TempDir::new("few");
    let files = [dir.file("a", b"one two\n"), dir.file("b", b"three\n")];
    let output = assert_equals_wc(&["--processes", "3", "--kill", "9"], &files);
    assert!(text(&output.stderr).contains("workers killed: 9,"), "{output:?}");
}

#[test]
fn what_can_be_read_only_once_is_refused() {
    let dir = TempDir::new("once");
    let pipe = dir.path.join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let output = word_count(&[], &[dir.file("a", b"one two\n"), pipe]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("pipe: Illegal seek"), "{output:?}");
    assert!(text(&output.stdout).ends_with(" 8 total\n"), "{output:?}");

    let output = word_count(&[], &["-"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("standard input"), "{output:?}");
}

#[test]
fn numbers_of_workers_that_make_no_sense_are_refused() {
    for processes in ["0", "129", "-1", "two"] {
        let output = word_count(&["--processes", processes], &["/dev/null"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains("--processes"), "{output:?}");
    }
}

#[test]
fn workers_killed_by_a_stranger_are_replaced() {
    let dir = TempDir::new("stranger");
    let file = dir.hollow("a", 1 << 40);
    let boss = WORD_COUNT.start(&["--processes", "1"], &[&file]);
    // Too much to be counted, until the last of them is gone.
    for len in [1 << 40, 1 << 40, 1000] {
        let victim =
            wait_for("a worker", || children(boss.id()).into_iter().find(|&worker| WORD_COUNT.has_attached(worker)));
        stop(victim);
        dir.hollow("a", len);
        send(Signal::SIGKILL, victim);
        wait_for("its end", || (!is_running(victim)).then_some(()));
    }
    let output = boss.finish();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(last_line(&output), "   0    0 1000 total");
}

#[test]
fn the_boss_gives_up_when_its_workers_only_die() {
    let dir = TempDir::new("hopeless");
    let boss = WORD_COUNT.start(&["--processes", "2"], &[dir.hollow("a", 1 << 40), dir.hollow("b", 1 << 40)]);
    let pid = boss.id();
    while is_running(pid) {
        children(pid).into_iter().for_each(|worker| send(Signal::SIGKILL, worker));
    }
    let output = boss.finish();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("a worker failed"), "{output:?}");
    assert_eq!(WORD_COUNT.names_of(pid), Vec::<String>::new());
}

#[test]
fn the_totals_stay_exact_when_workers_are_killed_inside_the_lock() {
    let dir = TempDir::new("inside");
    let files = vec![dir.file("a", b"one two\n"); 20_000];
    let mut killed = 0;
    // One moment in a hundred is inside the lock: it may take more than one run to meet one.
    wait_for("workers inside the lock", || {
        let boss = WORD_COUNT.start(&["--processes", "2"], &files);
        let job = wait_for("the job or the end", || match WORD_COUNT.names_of(boss.id()).pop() {
            Some(name) => Some(Shm::<Job>::open(&name).ok()),
            None => (!is_running(boss.id())).then_some(None),
        });
        let killed_now = job.as_ref().map_or(0, |job| kill_inside_the_lock(&boss, job));
        let output = boss.finish();
        assert_eq!(last_line(&output), " 20000  40000 160000 total", "{output:?}");
        assert!(job.is_none_or(|job| job.repairs().unwrap() >= killed_now));
        killed += killed_now;
        (killed > 0).then_some(())
    });
}

/// Kills up to five workers, each while it holds the lock; returns how many before the work ended.
fn kill_inside_the_lock(boss: &Boss, job: &Job) -> u32 {
    kill_where(boss, 5, |worker| job.books.owner().is_some_and(|owner| owner.pid == worker))
}

#[test]
fn a_killed_boss_leaves_no_worker_and_no_name() {
    let dir = TempDir::new("boss");
    let files = [dir.hollow("a", 1 << 40), dir.hollow("b", 1 << 40)];
    let boss = WORD_COUNT.start(&["--processes", "2"], &files);
    let pid = boss.id();
    let workers = wait_for("the workers", || {
        let workers = children(pid);
        (workers.len() == 2 && workers.iter().all(|&worker| WORD_COUNT.has_attached(worker))).then(|| Doomed(workers))
    });
    assert_eq!(WORD_COUNT.names_of(pid).len(), 1);
    send(Signal::SIGKILL, pid);
    boss.finish();
    for &worker in &workers.0 {
        wait_for("the worker's end", || (!is_running(worker)).then_some(()));
    }
    assert_eq!(WORD_COUNT.names_of(pid), Vec::<String>::new());
}

fn assert_equals_wc(options: &[&str], files: &[PathBuf]) -> Output {
    let (ours, theirs) = (word_count(&[options, &["--words", rule_of_wc()]].concat(), files), wc(files));
    assert!(ours.status.success(), "{ours:?}");
    assert_eq!(last_line(&ours), last_line(&theirs), "{files:?}");
    ours
}

/// The sources and texts of this repository.
fn own_files() -> Vec<PathBuf> {
    fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && name != ".git" {
                    walk(&path, files);
                }
            } else if ["rs", "md", "toml", "lock", "stderr"].iter().any(|&kind| path.extension() == Some(kind.as_ref()))
            {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(Path::new(env!("CARGO_MANIFEST_DIR")), &mut files);
    assert!(files.len() > 20, "{files:?}");
    files
}
