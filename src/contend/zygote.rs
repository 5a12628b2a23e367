//! The zygote: this program again, in the one test that runs the contest, from which the workers are forked.
//!
//! A fork of the threaded test runner would copy locks that nobody unlocks. In the zygote nothing else runs, and plans,
//! operations and model need no way to be sent anywhere. What it comes to goes back over a Unix socket, which is its
//! standard input, as lines of JSON. It dies with the thread that waits for it, and its workers die with it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::Subject;
use super::contest::{Contest, Options};
use super::hunt::Hunt;
use super::report::{Error, Report};
use super::token::Token;
use super::watch::longest;
use crate::sys::process;

/// Set in a zygote: which contest of its test it is for, counted from 0, and who started it.
const ZYGOTE: &str = "PSHARED_CONTEND_ZYGOTE";
const REPLAY: &str = "PSHARED_CONTEND_REPLAY";
const SEED: &str = "PSHARED_CONTEND_SEED";
const PLANS: &str = "PSHARED_CONTEND_PLANS";

type Outcome = Result<Report, Error>;

/// What a zygote says.
#[derive(Serialize, Deserialize)]
enum Line {
    Alive,
    Outcome(Outcome),
}

/// The contests that each run of a test has been through in this process, and what came of them: a zygote that is on its
/// way to a later one gets them from here instead of running them again. `None`: not known yet.
static BEFORE: Mutex<BTreeMap<Vec<String>, Vec<Option<Outcome>>>> = Mutex::new(BTreeMap::new());

pub(super) fn run<S: Subject>(contest: &Contest<S>) -> Outcome {
    let options = with_environment(&contest.options)?;
    let test = Test::of(&options);
    let number = {
        let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
        let before = before.entry(test.arguments.clone()).or_default();
        before.push(None);
        before.len() - 1
    };
    let outcome = match std::env::var(ZYGOTE) {
        Ok(zygote) => in_the_zygote(&zygote, &test, number, &contest.subject, &options),
        Err(_) => start(&test, number, &options),
    };
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(slot) = before.get_mut(&test.arguments).and_then(|before| before.get_mut(number)) {
        *slot = Some(outcome.clone());
    }
    outcome
}

/// The options, but for what the environment says.
fn with_environment(options: &Options) -> Result<Options, Error> {
    let mut options = options.clone();
    if let Some(seed) = variable(SEED)? {
        options.seed = Some(seed);
    }
    if let Some(plans) = variable(PLANS)? {
        options.plans = plans;
        options.check()?;
    }
    Ok(options)
}

fn variable(name: &str) -> Result<Option<u64>, Error> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map(Some).map_err(|_| Error::option(name, text, "write a number of 64 bits, decimal or from 0x on"))
}

/// How this program is started to come here again.
struct Test {
    arguments: Vec<String>,
    name: Option<String>,
}

impl Test {
    fn of(options: &Options) -> Test {
        let thread = std::thread::current().name().filter(|name| *name != "main").map(str::to_owned);
        let name = options.test.clone().or(thread);
        let arguments = match &name {
            Some(test) => {
                [test, "--exact", "--nocapture", "--test-threads=1", "--include-ignored"].map(str::to_owned).into()
            }
            None => std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect(),
        };
        Test { arguments, name }
    }

    /// A number for the contest `number` of this test, the same in every run.
    fn contest(&self, number: usize) -> u32 {
        let mut hasher = DefaultHasher::new();
        (&self.arguments, number).hash(&mut hasher);
        hasher.finish() as u32
    }

    /// The command that replays.
    fn command(&self, token: &str) -> String {
        match &self.name {
            Some(test) => format!("{REPLAY}={token} cargo test {test} -- --exact"),
            None => format!("{REPLAY}={token}, in the environment of the same program"),
        }
    }

    fn describe(&self) -> String {
        let program = std::env::current_exe().map_or("?".into(), |path| path.display().to_string());
        format!("{program} {}", self.arguments.join(" "))
    }
}

// The process that waits.

/// How long the zygote may say nothing, besides one run of a plan.
const SILENCE: Duration = Duration::from_secs(60);

/// The zygote; dropped, it is killed.
struct Zygote(Child);

impl Drop for Zygote {
    fn drop(&mut self) {
        // Both fail only for one that was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(test: &Test, number: usize, options: &Options) -> Outcome {
    let system = |call| move |error: std::io::Error| Error::system(call, error);
    let (ours, theirs) = UnixStream::pair().map_err(system("socketpair"))?;
    ours.set_read_timeout(Some(SILENCE + longest(options.deadline))).map_err(system("setsockopt"))?;
    let program = std::env::current_exe().map_err(system("readlink of /proc/self/exe"))?;
    let mut command = Command::new(program);
    command
        .args(&test.arguments)
        .env(ZYGOTE, format!("{number} {}", std::process::id()))
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null());
    let mut zygote = Zygote(command.spawn().map_err(system("starting this program again"))?);
    drop(command); // and with it the other end of the socket

    let before = {
        let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
        before.get(&test.arguments).map(|before| before[..number].to_vec()).unwrap_or_default()
    };
    let not_reached = |zygote: &mut Zygote| {
        let status = zygote.0.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        Err(Error::NotReached { command: test.describe(), status })
    };
    if say(&ours, &before).is_err() {
        return not_reached(&mut zygote);
    }
    for line in BufReader::new(&ours).lines() {
        match line {
            Ok(line) => match serde_json::from_str(&line) {
                Ok(Line::Alive) => {}
                Ok(Line::Outcome(outcome)) => return outcome,
                Err(error) => return Err(Error::system("reading what came of the contest", error)),
            },
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(Error::Stuck { command: test.describe() });
            }
            Err(_) => break,
        }
    }
    not_reached(&mut zygote)
}

fn say(mut socket: &UnixStream, what: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    socket.write_all(&line)
}

// The zygote itself.

/// What came of a contest before the one that this zygote is for; that one itself ends here, with the process.
fn in_the_zygote<S: Subject>(zygote: &str, test: &Test, number: usize, subject: &S, options: &Options) -> Outcome {
    static EARLIER: Mutex<Option<(UnixStream, Vec<Option<Outcome>>)>> = Mutex::new(None);

    let (mine, parent) = zygote.split_once(' ').unwrap_or((zygote, ""));
    let (mine, parent) = (mine.parse::<usize>().ok(), parent.parse().ok().map(Pid::from_raw));
    let (Some(mine), Some(parent)) = (mine, parent) else {
        return Err(Error::option(ZYGOTE, zygote, "take it out of the environment, it is this library's own"));
    };
    let mut earlier = EARLIER.lock().unwrap_or_else(PoisonError::into_inner);
    if earlier.is_none() {
        let watched = process::die_with(parent).map_err(|errno| Error::system("prctl", errno));
        let socket = watched.and_then(|()| {
            let stdin = std::io::stdin().as_fd().try_clone_to_owned();
            stdin.map(UnixStream::from).map_err(|error| Error::system("dup", error))
        })?;
        let mut line = String::new();
        BufReader::new(&socket).read_line(&mut line).map_err(|error| Error::system("read", error))?;
        let outcomes = serde_json::from_str(&line).map_err(|error| Error::system("reading what came before", error))?;
        *earlier = Some((socket, outcomes));
    }
    let Some((socket, outcomes)) = earlier.as_ref() else { return Ok(Report::default()) };
    if number < mine {
        return outcomes.get(number).cloned().flatten().unwrap_or_else(|| Ok(Report::default()));
    }
    let outcome = compete(socket, test, number, subject, options);
    // Nobody listens only if the other process is dead, and this one as good as.
    let _ = say(socket, &Line::Outcome(outcome));
    std::process::exit(0)
}

/// How often the zygote shows that it lives.
const SIGNS: Duration = Duration::from_secs(1);

fn compete<S: Subject>(socket: &UnixStream, test: &Test, number: usize, subject: &S, options: &Options) -> Outcome {
    if let Some(threads) = others_at_work() {
        return Err(Error::OtherThreads { threads });
    }
    if options.one_core {
        process::stay_on_one_core().map_err(|errno| Error::system("sched_setaffinity", errno))?;
    }
    let token = match &options.replay {
        Some(token) => Some(token.parse::<Token>()?),
        None => match std::env::var(REPLAY) {
            Ok(token) => Some(token.parse::<Token>()?).filter(|token| token.contest == test.contest(number)),
            Err(_) => None,
        },
    };
    let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(0));

    let mut last = Instant::now();
    let mut alive = || {
        if last.elapsed() >= SIGNS {
            // As above.
            let _ = say(socket, &Line::Alive);
            last = Instant::now();
        }
    };
    let command = |token: &str| test.command(token);
    let mut hunt = Hunt::new(subject, options, &mut alive, test.contest(number), &command)?;
    match token {
        Some(token) => hunt.replay(&token),
        None => hunt.run(seed),
    }
}

/// How many threads this process has, if they are more than this one and one that started it and waits.
fn others_at_work() -> Option<usize> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, |tasks| tasks.count());
    (threads > 2).then_some(threads)
}
