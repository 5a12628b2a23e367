//! The word count example: equal to `wc`, whoever is killed.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, process};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proptest::prelude::*;

#[path = "../examples/word_count/books.rs"]
mod books;
use books::{Books, Counts, Job, Turn};

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
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
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
    // Big enough to be killed over, yet done within seconds.
    let len = if cfg!(debug_assertions) { 32 << 20 } else { 1 << 30 };
    let files = [dir.hollow("a", len), dir.hollow("b", len)];
    let boss = start(&["--processes", "2", "--words", "printable"], &files);
    for _ in 0..3 {
        let victim = wait_for("a worker", || children(boss.id()).into_iter().find(|&worker| maps_job(worker)));
        kill(Pid::from_raw(victim as i32), Signal::SIGKILL).unwrap();
        wait_for("its end", || (!children(boss.id()).contains(&victim)).then_some(()));
    }
    let output = finish(boss);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(last_line(&output).split_whitespace().collect::<Vec<_>>(), ["0", "0", &(2 * len).to_string(), "total"]);
}

#[test]
fn a_killed_boss_leaves_no_worker_and_no_name() {
    let dir = TempDir::new("boss");
    let files = [dir.hollow("a", 1 << 40), dir.hollow("b", 1 << 40)];
    let boss = start(&["--processes", "2"], &files);
    let workers = wait_for("workers", || {
        let workers = children(boss.id());
        (workers.len() == 2 && workers.iter().all(|&worker| maps_job(worker))).then_some(workers)
    });
    assert_eq!(names_of(boss.id()).len(), 1);
    let pid = boss.id();
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
    finish(boss);
    for worker in workers {
        wait_for("the worker's end", || (!is_running(worker)).then_some(()));
    }
    assert_eq!(names_of(pid), Vec::<PathBuf>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Each step: which worker, and whether it is killed before its change, in the middle of it, after it, or not.
    #[test]
    fn each_file_is_counted_once_in_every_schedule(
        files in 0_u32..12,
        held_back in 0_u32..15,
        steps in proptest::collection::vec((0_usize..4, 0_u8..8), 0..120),
    ) {
        let job = Job::new(files, held_back);
        for _ in 0..held_back {
            job.change(|books| books.hold_back_one_less()).unwrap();
        }
        // What each worker has in hand; a killed one loses it, and its successor asks the books.
        let mut in_hand = [None; 4];
        let to_the_end = (0..4 * (2 * files as usize + 2)).map(|i| (i % 4, 7));
        let (mut settled, mut reported) = (HashSet::new(), Vec::new());
        for (worker, fate) in steps.into_iter().chain(to_the_end) {
            let (early, midway, late) = (fate == 0, fate == 1, fate == 2);
            if early {
                in_hand[worker] = None;
            }
            match in_hand[worker] {
                None => match die_in(midway, || job.change(|books| { let turn = books.next_turn(worker); die_if(midway, books); turn })) {
                    Some(Turn::Count(file)) => in_hand[worker] = Some(file),
                    Some(Turn::Wait | Turn::Finish) | None => {}
                },
                Some(file) => {
                    let counts = Counts { lines: 1, words: 1 << file, bytes: 1 };
                    let errno = (file % 5 == 4).then_some(file as i32);
                    let change = || job.change(|books| { books.settle(worker, counts, errno); die_if(midway, books) });
                    if die_in(midway, change).is_some() {
                        prop_assert!(settled.insert(file), "{file} was settled twice");
                    }
                    in_hand[worker] = None;
                }
            }
            if late {
                in_hand[worker] = None;
            }
            reported.extend(job.change(|books| books.progress()).unwrap().unreadable);
        }
        let (totals, done) = job.change(|books| (books.totals, books.progress().done)).unwrap();
        prop_assert_eq!(totals, Counts { lines: files.into(), words: (1 << files) - 1, bytes: files.into() });
        prop_assert_eq!(done, files);
        reported.sort_unstable();
        let expected: Vec<_> = (0..files).filter(|file| file % 5 == 4).map(|file| (file, file as i32)).collect();
        prop_assert_eq!(reported, expected);
        for worker in 0..4 {
            prop_assert_eq!(job.change(|books| books.next_turn(worker)).unwrap(), Turn::Finish);
        }
    }
}

/// Runs a change that ends in the death of who makes it, or doesn't.
fn die_in<R>(dies: bool, change: impl FnOnce() -> pshared::Result<R>) -> Option<R> {
    if !dies {
        return Some(change().unwrap());
    }
    let outcome = catch_unwind(AssertUnwindSafe(change));
    assert!(outcome.is_err(), "nobody died");
    None
}

fn die_if(dies: bool, books: &mut Books) {
    if dies {
        *books = Books::default();
        // Without the message that a panic prints.
        std::panic::resume_unwind(Box::new("dead"));
    }
}

fn assert_equals_wc(options: &[&str], files: &[PathBuf]) -> Output {
    let (ours, theirs) = (word_count(&[options, &["--words", rule_of_wc()]].concat(), files), wc(files));
    assert!(ours.status.success(), "{ours:?}");
    assert_eq!(last_line(&ours), last_line(&theirs), "{files:?}");
    ours
}

fn wc(files: &[impl AsRef<OsStr>]) -> Output {
    Command::new("wc").env("LC_ALL", "C").arg("--").args(files).output().unwrap()
}

/// GNU wc changed in 9.5 what begins a word.
fn rule_of_wc() -> &'static str {
    static RULE: OnceLock<&str> = OnceLock::new();
    RULE.get_or_init(|| {
        let dir = TempDir::new("rule");
        let output = wc(&[dir.file("a", b"\x01")]);
        if text(&output.stdout).split_whitespace().nth(1) == Some("1") { "any" } else { "printable" }
    })
}

fn word_count(options: &[&str], files: &[impl AsRef<OsStr>]) -> Output {
    let boss = start(options, files);
    let pid = boss.id();
    let output = finish(boss);
    assert_eq!(names_of(pid), Vec::<PathBuf>::new(), "left behind");
    output
}

fn start(options: &[&str], files: &[impl AsRef<OsStr>]) -> Child {
    Command::new(example())
        .args(options)
        .args(files)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the end of a run whose output fits the pipes' buffers.
fn finish(mut boss: Child) -> Output {
    let deadline = Instant::now() + WATCHDOG;
    while boss.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            boss.kill().unwrap();
            panic!("hangs: {:?}", boss.wait_with_output());
        }
        thread::sleep(Duration::from_millis(1));
    }
    boss.wait_with_output().unwrap()
}

const WATCHDOG: Duration = Duration::from_secs(120);

fn wait_for<R>(what: &str, mut look: impl FnMut() -> Option<R>) -> R {
    let deadline = Instant::now() + WATCHDOG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not seen");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The example beside this test, built anew where cargo can tell whether it has to be.
fn example() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let test = env::current_exe().unwrap();
        let profile_dir = test.ancestors().nth(2).unwrap();
        if let (Some(cargo), Some(target_dir)) = (env::var_os("CARGO"), profile_dir.parent()) {
            let profile = match profile_dir.file_name().unwrap().to_str().unwrap() {
                "debug" => "dev",
                other => other,
            };
            let status = Command::new(cargo)
                .args(["build", "--quiet", "--example", "word_count", "--profile", profile, "--target-dir"])
                .arg(target_dir)
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status();
            assert!(status.unwrap().success());
        }
        let path = profile_dir.join("examples/word_count");
        assert!(path.exists(), "build the example first: cargo build --example word_count");
        path
    })
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

/// Names of jobs in shared memory that belong to this boss.
fn names_of(boss: u32) -> Vec<PathBuf> {
    let prefix = format!("word_count-{boss}-");
    let entries = fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).map(|entry| entry.path()).collect()
}

/// The processes, zombies left out, that this one started.
fn children(of: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|&pid| matches!(stat(pid), Some((state, parent)) if state != 'Z' && parent == of)).collect()
}

fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Whether the worker has attached.
fn maps_job(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.contains("/dev/shm/word_count-"))
}

fn last_line(output: &Output) -> String {
    text(&output.stdout).lines().last().unwrap_or_else(|| panic!("no output: {output:?}")).to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct TempDir {
    path: PathBuf,
}

impl TempDir {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("pshared-word_count-{name}-{}", process::id()));
        fs::create_dir(&path).unwrap();
        TempDir { path }
    }

    fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.path.join(name);
        File::create(&path).unwrap().write_all(contents).unwrap();
        path
    }

    /// A file of zeros that takes no space.
    fn hollow(&self, name: &str, len: u64) -> PathBuf {
        let path = self.path.join(name);
        File::create(&path).unwrap().set_len(len).unwrap();
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
