//! What was measured, kept beside criterion's own account for one table in the end.

use std::process::Command;
use std::time::Duration;

/// One measurement of a loop, with one of something else next to it.
#[derive(Clone, Copy)]
struct Sample {
    rounds: u64,
    time: Duration,
    beside: Duration,
    share: f64,
}

/// The samples of one subject.
#[derive(Default)]
pub struct Samples(Vec<Sample>);

impl Samples {
    pub fn add(&mut self, rounds: u64, time: Duration) {
        self.add_beside(rounds, time, time);
    }

    pub fn add_beside(&mut self, rounds: u64, time: Duration, beside: Duration) {
        self.add_shared(rounds, time, beside, 1.0);
    }

    pub fn add_shared(&mut self, rounds: u64, time: Duration, beside: Duration, share: f64) {
        self.0.push(Sample { rounds, time, beside, share });
    }

    /// Nanoseconds for one round: the median.
    pub fn nanos(&self) -> f64 {
        median(self.long().map(|s| s.time.as_nanos() as f64 / s.rounds as f64))
    }

    /// The time in units of what was beside: the median over the pairs, so that what slows both down doesn't count.
    pub fn ratio(&self) -> f64 {
        median(self.long().map(|s| s.time.as_secs_f64() / s.beside.as_secs_f64()))
    }

    /// How much the one who got less had of the other's: the median, and the worst.
    pub fn share(&self) -> (f64, f64) {
        (median(self.long().map(|s| s.share)), self.long().map(|s| s.share).fold(1.0, f64::min))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The samples that are long enough: a warm-up begins with a single round.
    fn long(&self) -> impl Iterator<Item = &Sample> {
        let most = self.0.iter().map(|s| s.rounds).max().unwrap_or(0);
        self.0.iter().filter(move |s| s.rounds * 10 >= most)
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One table of Markdown.
pub struct Table {
    head: &'static str,
    rows: Vec<String>,
}

impl Table {
    pub fn new(head: &'static str) -> Table {
        Table { head, rows: Vec::new() }
    }

    pub fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.join(" | "));
    }

    pub fn print(&self) {
        if self.rows.is_empty() {
            return;
        }
        println!("\n| {} |\n|---{}|", self.head, "|---:".repeat(self.head.matches('|').count()));
        for row in &self.rows {
            println!("| {row} |");
        }
    }
}

/// Where and when, without which no figure says anything.
pub fn print_circumstances(bench: &str) {
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // SAFETY: returns a static C string.
    let libc = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    println!(
        "\n{}, {cores} cores, Linux {}, glibc {}, {}: {}`cargo bench --bench {bench}{}`",
        model.trim_start_matches([' ', '\t', ':']),
        std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        libc.to_string_lossy(),
        output_of(Command::new("date").args(["-u", "+%F"])),
        priority(),
        options(),
    );
}

/// Real-time priority keeps the rest of the machine out.
fn priority() -> &'static str {
    // SAFETY: 0 is this process; nothing else is asked for.
    match unsafe { libc::sched_getscheduler(0) } {
        libc::SCHED_FIFO => "SCHED_FIFO, ",
        libc::SCHED_RR => "SCHED_RR, ",
        _ => "",
    }
}

/// What the user asked for; cargo adds `--bench`.
fn options() -> String {
    let given: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if given.is_empty() { String::new() } else { format!(" -- {}", given.join(" ")) }
}

fn output_of(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}
