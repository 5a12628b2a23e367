//! Runs of the examples, and their processes as the system shows them.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, process};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use pshared::{Shm, ShmSafe};

/// No run takes as long; what does hangs.
const WATCHDOG: Duration = Duration::from_secs(120);

/// An example, by its name.
pub struct Example {
    name: &'static str,
    path: OnceLock<PathBuf>,
}

impl Example {
    pub const fn new(name: &'static str) -> Self {
        Example { name, path: OnceLock::new() }
    }

    pub fn start(&self, options: &[&str], files: &[impl AsRef<OsStr>]) -> Boss {
        // Whoever started this test in the background may have had interrupts ignored, which children inherit.
        // SAFETY: the default action is no handler.
        unsafe { signal(Signal::SIGINT, SigHandler::SigDfl) }.unwrap();
        let mut command = Command::new(self.path());
        command.args(options).args(files).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Boss(Some(command.spawn().unwrap()))
    }

    /// A run from beginning to end, which leaves nothing in shared memory.
    pub fn run(&self, options: &[&str], files: &[impl AsRef<OsStr>]) -> Output {
        let boss = self.start(options, files);
        let pid = boss.id();
        let output = boss.finish();
        assert_eq!(self.names_of(pid), Vec::<String>::new(), "left behind");
        output
    }

    /// The example beside this test; where cargo runs the test, cargo sees to it that the example is not out of date.
    fn path(&self) -> &Path {
        self.path.get_or_init(|| {
            let test = env::current_exe().unwrap();
            let profile_dir = test.ancestors().nth(2).unwrap();
            if let (Some(cargo), Some(target_dir)) = (env::var_os("CARGO"), profile_dir.parent()) {
                let profile = match profile_dir.file_name().unwrap().to_str().unwrap() {
                    "debug" => "dev",
                    other => other,
                };
                let built = Command::new(cargo)
                    .args(["build", "--quiet", "--example", self.name, "--profile", profile, "--target-dir"])
                    .arg(target_dir)
                    // As the test itself, lest everything is built twice.
                    .args(cfg!(feature = "contend").then_some("--features=contend"))
                    .current_dir(env!("CARGO_MANIFEST_DIR"))
                    .status();
                assert!(built.unwrap().success());
            }
            let path = profile_dir.join("examples").join(self.name);
            assert!(path.exists(), "build the example first: cargo build --example {}", self.name);
            path
        })
    }

    /// The names in shared memory of the jobs of this boss.
    pub fn names_of(&self, boss: u32) -> Vec<String> {
        let prefix = format!("{}-{boss}-", self.name);
        let entries = fs::read_dir("/dev/shm").unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(&prefix)).collect()
    }

    /// Whether the worker has attached.
    pub fn has_attached(&self, pid: u32) -> bool {
        let name = format!("/dev/shm/{}-", self.name);
        fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.contains(&name))
    }
}

/// The example while it runs; dropped, it is killed.
pub struct Boss(Option<Child>);

impl Boss {
    pub fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Waits for the end of a run whose output fits the pipes' buffers.
    pub fn finish(mut self) -> Output {
        let deadline = Instant::now() + WATCHDOG;
        while self.0.as_mut().unwrap().try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "hangs");
            thread::sleep(Duration::from_millis(1));
        }
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Boss {
    fn drop(&mut self) {
        if let Some(mut process) = self.0.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Processes that are killed in the end, in case that they are still there.
pub struct Doomed(pub Vec<u32>);

impl Drop for Doomed {
    fn drop(&mut self) {
        self.0.iter().filter(|&&pid| is_running(pid)).for_each(|&pid| send(Signal::SIGKILL, pid));
    }
}

pub fn wait_for<R>(what: &str, mut look: impl FnMut() -> Option<R>) -> R {
    let deadline = Instant::now() + WATCHDOG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not seen");
        thread::yield_now();
    }
}

/// The processes that this one started and that live.
pub fn children(of: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|&pid| is_running(pid) && stat(pid).is_some_and(|(_, parent)| parent == of)).collect()
}

pub fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// Stops the process and waits until it stands still or is gone.
pub fn stop(pid: u32) {
    send(Signal::SIGSTOP, pid);
    wait_for("the stop", || (!is_running(pid) || stat(pid).is_some_and(|(state, _)| state == 'T')).then_some(()));
}

/// Sends a signal to a process that may be gone.
pub fn send(signal: Signal, pid: u32) {
    match kill(Pid::from_raw(pid as i32), signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => panic!("{signal} to {pid}: {error}"),
    }
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// The worker's place in the books, which is on its command line.
pub fn slot_of(worker: u32) -> Option<usize> {
    let line = text(&fs::read(format!("/proc/{worker}/cmdline")).ok()?);
    line.split('\0').skip_while(|&word| word != "--slot").nth(1)?.parse().ok()
}

/// Kills workers where they stand, if that is the right place, until so many were or the work has ended; returns how many.
pub fn kill_where(boss: &Boss, most: u32, is_the_place: impl Fn(u32) -> bool) -> u32 {
    let mut killed = 0;
    while killed < most && is_running(boss.id()) {
        for worker in children(boss.id()) {
            stop(worker);
            if is_the_place(worker) {
                send(Signal::SIGKILL, worker);
                killed += 1;
            }
            send(Signal::SIGCONT, worker);
        }
    }
    killed
}

/// Opens what the boss has its workers work at.
pub fn open_job<T: ShmSafe>(example: &Example, boss: &Boss) -> Shm<T> {
    wait_for("the job", || Shm::open(&example.names_of(boss.id()).pop()?).ok())
}

/// Interrupts a run that would take long, as Ctrl-C does.
pub fn assert_that_an_interrupt_leaves_nothing(example: &Example, options: &[&str], files: &[impl AsRef<OsStr>]) {
    let boss = example.start(options, files);
    let pid = boss.id();
    let workers = wait_for("workers", || {
        let workers = children(pid);
        (workers.len() > 1 && workers.iter().all(|&worker| example.has_attached(worker))).then(|| Doomed(workers))
    });
    assert_eq!(example.names_of(pid).len(), 1);
    send(Signal::SIGINT, pid);
    assert!(!boss.finish().status.success());
    for &worker in &workers.0 {
        wait_for("the worker's end", || (!is_running(worker)).then_some(()));
    }
    assert_eq!(example.names_of(pid), Vec::<String>::new());
}

pub fn last_line(output: &Output) -> String {
    text(&output.stdout).lines().last().unwrap_or_else(|| panic!("no output: {output:?}")).to_owned()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub struct TempDir {
    pub path: PathBuf,
}

impl TempDir {
    pub fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("pshared-example-{name}-{}", process::id()));
        fs::create_dir(&path).unwrap();
        TempDir { path }
    }

    pub fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.path.join(name);
        File::create(&path).unwrap().write_all(contents).unwrap();
        path
    }

    /// A file of zeros that takes no space; one that is there gets this length.
    pub fn hollow(&self, name: &str, len: u64) -> PathBuf {
        let path = self.path.join(name);
        File::options().create(true).truncate(false).write(true).open(&path).unwrap().set_len(len).unwrap();
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
