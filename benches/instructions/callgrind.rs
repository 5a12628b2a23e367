//! Counting by callgrind: this program again under valgrind, which writes down the counts before each [`next_part`].
//!
//! A path is gone through a number of times and then twice that number of times. What the second takes more, divided by
//! the number, is the cost of one time: whatever comes before and after is the same in both, and drops out.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::{fs, io};

use crate::cost::Cost;
use crate::instruction::{Kind, Kinds};

/// Set for the program that is counted.
const COUNTED: &str = "PSHARED_INSTRUCTIONS_COUNTED";

/// The symbol of [`next_part`].
const NEXT_PART: &str = "pshared_instructions_next_part";

/// So many times, and twice as many.
const TIMES: u64 = 1000;

/// The parts that are written down for one path: what comes before, so many times, and twice as many.
const PARTS: usize = 3;

/// Threads begin to look for a free place, of several, where their id says: at the first one of four, if this divides it.
const ROUND: u32 = 4;

/// So many processes are begun until one has such an id.
const TRIES: usize = 1000;

/// Before it runs, callgrind writes down what was counted since the last time.
#[unsafe(export_name = "pshared_instructions_next_part")]
#[inline(never)]
extern "C" fn next_part() {
    std::hint::black_box(());
}

/// Whether this is the program that is counted.
pub fn is_counted() -> bool {
    std::env::var_os(COUNTED).is_some()
}

/// In the program that is counted: names the path, and goes through it.
pub fn go_through(name: &str, go: &dyn Fn(u64)) {
    println!("{name}");
    io::stdout().flush().expect("who counts reads the names");
    go(2 * TIMES); // whatever is done the first time
    next_part();
    go(TIMES);
    next_part();
    go(2 * TIMES);
    next_part();
}

/// Runs this program under valgrind, with the same arguments: what its paths cost, in their order.
pub fn count(folder: &Path) -> Result<Vec<(String, Cost)>, String> {
    let file = folder.join("callgrind.out");
    let failed = |what: &str, error: io::Error| format!("{what}: {error}");
    fs::create_dir_all(folder).map_err(|error| failed("can't make the folder of the counts", error))?;
    let _ = fs::remove_file(&file); // of the time before, if there is one
    let program = std::env::current_exe().map_err(|error| failed("can't find this program", error))?;
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--collect-bus=yes", "--combine-dumps=yes", "--dump-instr=yes", "--dump-line=no"])
        .args(["--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--dump-before={NEXT_PART}"))
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(COUNTED, "1")
        .env("LD_BIND_NOW", "1") // no symbol is looked up in the middle of a path
        .stdin(Stdio::null());
    let valgrind = output_with_round_id(&mut valgrind)
        .map_err(|error| failed("can't run valgrind; install it (apt-get install valgrind)", error))?;
    let said = String::from_utf8_lossy(&valgrind.stdout);
    if !valgrind.status.success() {
        let errors = String::from_utf8_lossy(&valgrind.stderr);
        return Err(format!("valgrind failed ({}):\n{said}{errors}", valgrind.status));
    }
    let counts = fs::read_to_string(&file).map_err(|error| failed("can't read the counts", error))?;
    costs(said.lines(), &counts)
}

/// The output of a process whose id is a multiple of [`ROUND`].
fn output_with_round_id(command: &mut Command) -> io::Result<Output> {
    let another = || io::Error::from_raw_os_error(libc::EAGAIN);
    let has_round_id = move || if std::process::id().is_multiple_of(ROUND) { Ok(()) } else { Err(another()) };
    // SAFETY: asks for the process's id, which may be done after a fork, and allocates nothing.
    unsafe { command.pre_exec(has_round_id) };
    let mut outcome = Err(another());
    for _ in 0..TRIES {
        outcome = command.output();
        if !outcome.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EAGAIN)) {
            break;
        }
    }
    outcome
}

/// What was counted in a part.
#[derive(Clone, Copy, Default)]
struct Counts {
    instructions: u64,
    locked: u64,
    system_calls: u64,
}

/// The costs of the paths with these names, from what callgrind wrote.
fn costs<'a>(names: impl Iterator<Item = &'a str>, written: &str) -> Result<Vec<(String, Cost)>, String> {
    let parts = parts(written)?;
    let mut parts = parts.chunks_exact(PARTS);
    let cost = |name: &str| {
        let of_it = parts.next().ok_or_else(|| format!("valgrind counted nothing for {name}"))?;
        let (once, twice) = (of_it[1], of_it[2]);
        let each = |count: fn(Counts) -> u64| (count(twice) as f64 - count(once) as f64) / TIMES as f64;
        let cost = Cost {
            instructions: each(|counts| counts.instructions),
            locked: each(|counts| counts.locked),
            system_calls: each(|counts| counts.system_calls),
        };
        Ok((name.to_owned(), cost))
    };
    names.map(cost).collect()
}

/// What was counted in each part. Callgrind's file has for each function the lines `ob=FILE`, unless that is the same as
/// before, and `ADDRESS INSTRUCTIONS [LOCKED]`; after `calls=` one such line is about what was called.
fn parts(written: &str) -> Result<Vec<Counts>, String> {
    let mut kinds = Kinds::default();
    let (mut all, mut file, mut is_of_callee) = (Vec::new(), "", false);
    let (mut now, mut sum) = (Counts::default(), (0, 0));
    for line in written.lines() {
        if let Some(events) = line.strip_prefix("events: ") {
            if events != "Ir Ge" {
                return Err(format!("valgrind counts {events:?} instead of instructions and bus locks"));
            }
            (now, sum, is_of_callee) = (Counts::default(), (0, 0), false);
        } else if let Some(name) = line.strip_prefix("ob=") {
            file = name;
        } else if line.starts_with("calls=") {
            is_of_callee = true;
        } else if let Some(cost) = line.strip_prefix("0x") {
            if !std::mem::take(&mut is_of_callee) {
                let unknown = || format!("valgrind wrote a line of another kind: {line}");
                let (address, [instructions, locked]) = numbers(cost).ok_or_else(unknown)?;
                now.instructions += instructions;
                now.locked += locked;
                sum = (sum.0 + instructions, sum.1 + locked);
                match kinds.of(file, address) {
                    Kind::Fence => now.locked += instructions,
                    Kind::SystemCall => now.system_calls += instructions,
                    Kind::Other => {}
                }
            }
        } else if let Some(totals) = line.strip_prefix("totals: ") {
            let total = (field(totals, 0), field(totals, 1));
            if total != (Some(sum.0), Some(sum.1)) {
                return Err(format!("valgrind says that all of a part is {totals}, but its lines add up to {sum:?}"));
            }
            all.push(now);
        }
    }
    Ok(all)
}

/// An address, and what was counted there.
fn numbers(line: &str) -> Option<(u64, [u64; 2])> {
    let (address, counts) = line.split_once(' ')?;
    Some((u64::from_str_radix(address, 16).ok()?, [field(counts, 0)?, field(counts, 1)?]))
}

/// What was counted of an event; events that didn't occur are left out at the end.
fn field(counts: &str, event: usize) -> Option<u64> {
    counts.split_ascii_whitespace().nth(event).map_or(Some(0), |count| count.parse().ok())
}
