//! What a writer of a `ShmString` or `ShmVec` leaves when it is killed, for every instruction at which it can be.
//!
//! The writer is another process that is stepped by ptrace, an instruction at a time. After each, the shared memory is
//! what a SIGKILL at that moment would leave, so that is where it is looked at.

use std::fs::{File, OpenOptions};
use std::io::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use std::{env, fs, process, ptr, thread};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::signal::{Signal, raise};
use nix::unistd::{alarm, gettid};
use pshared::{ShmString, ShmVec};

type Item = [u64; 4];
type List = ShmVec<Item, 8>;
type Text = ShmString<160>;

/// What the two processes share.
#[repr(C)]
struct Stage {
    /// The thread to be stepped, 0 until it is ready.
    writer: AtomicI32,
    list: List,
    text: Text,
}

/// What is called, its name, and what it finds.
type Call = (&'static str, fn(&mut Stage), fn(&mut Stage));

/// Calls of which a killed one has changed all or nothing.
const WHOLE: &[Call] = &[
    ("push", three_items, |s| s.list.push(item(9)).unwrap()),
    ("extend_from_slice", three_items, |s| s.list.extend_from_slice(&[item(8), item(9), item(10)]).unwrap()),
    ("a failing extend_from_slice", three_items, |s| assert!(s.list.extend_from_slice(&[item(8); 7]).is_err())),
    ("pop", three_items, |s| assert_eq!(s.list.pop(), Some(item(3)))),
    ("truncate", three_items, |s| s.list.truncate(1)),
    ("clear", three_items, |s| s.list.clear()),
    ("string push", text, |s| s.text.push('🦀').unwrap()),
    ("string push_str", text, |s| s.text.push_str(" and ßo, more").unwrap()),
    ("string push_str after a tear", torn_text, |s| s.text.push_str(&"long".repeat(30)).unwrap()),
    ("a failing string push_str", text, |s| assert!(s.text.push_str(&"long".repeat(40)).is_err())),
    ("string pop", text, |s| assert_eq!(s.text.pop(), Some('€'))),
    ("string truncate", text, |s| s.text.truncate(2)),
    ("string clear", text, |s| s.text.clear()),
];

/// Calls that move what is counted: a killed one leaves items and parts of items that were there or were given.
const MOVING: &[Call] = &[
    ("insert", three_items, |s| s.list.insert(1, item(9)).unwrap()),
    ("remove", three_items, |s| assert_eq!(s.list.remove(0), item(1))),
    ("swap_remove", three_items, |s| assert_eq!(s.list.swap_remove(0), item(1))),
    ("retain", three_items, |s| s.list.retain(|i| *i != item(2))),
    ("try_extend", three_items, |s| s.list.try_extend([item(8), item(9)]).unwrap()),
    ("string insert", text, |s| s.text.insert(2, '🦀').unwrap()),
    ("string insert_str", text, |s| s.text.insert_str(0, "ßßß").unwrap()),
    ("string remove", text, |s| assert_eq!(s.text.remove(0), 'ß')),
];

/// Two calls in one function, where the compiler sees that the length ends as it began.
const REUSE: Call = ("pop and push", three_items, |s| {
    s.list.pop();
    s.list.push(item(9)).unwrap();
});

fn item(n: u64) -> Item {
    [n << 8, n << 16, n << 24, n << 32]
}

/// A list that was longer, so that slots behind its length have something to show.
fn three_items(stage: &mut Stage) {
    stage.list = List::try_from(&[item(1), item(2), item(3), item(40), item(50)][..]).unwrap();
    stage.list.truncate(3);
}

fn text(stage: &mut Stage) {
    stage.text = Text::try_from("ß text €, longer once").unwrap();
    stage.text.truncate("ß text €".len());
}

/// Two bytes of text and ten that count and are none; what is written over them would count before it is complete.
fn torn_text(stage: &mut Stage) {
    text(stage);
    let stored: *mut u8 = (&raw mut stage.text).cast();
    // SAFETY: a string is its length in 4 bytes and then its bytes, which may be any; all of these are inside it.
    unsafe {
        stored.cast::<u32>().write(12);
        stored.add(4 + 2).write_bytes(0xff, 10);
    }
}

#[test]
fn a_writer_killed_while_it_appends_or_cuts_off_has_changed_all_or_nothing() {
    for call in WHOLE {
        let [before, after] = outcomes(call);
        let mut seen = [false; 2];
        step_through(call, |list, text| {
            let now = (list.to_vec(), text.to_string());
            let which = [&before, &after].into_iter().position(|whole| *whole == now);
            let which = which.unwrap_or_else(|| panic!("{}: {now:?}, neither {before:?} nor {after:?}", call.0));
            seen[which] = true;
        });
        assert_eq!(seen, [true, before != after], "{}", call.0);
    }
}

#[test]
fn a_writer_killed_while_it_moves_items_leaves_only_words_of_items_and_text() {
    for call in MOVING {
        let [before, after] = outcomes(call);
        let words: Vec<u64> = before.0.iter().chain(&after.0).chain(&[item(8), item(9)]).flatten().copied().collect();
        let lens = [before.0.len(), after.0.len(), 4];
        step_through(call, |list, text| {
            assert!(lens.contains(&list.len()), "{}: {list:?}", call.0);
            assert!(list.iter().flatten().all(|word| words.contains(word)), "{}: {list:?}", call.0);
            assert!(str::from_utf8(text.as_bytes()).is_ok(), "{}", call.0);
        });
    }
}

#[test]
fn a_slot_is_not_written_again_while_it_counts() {
    let whole = [vec![1, 2, 3], vec![1, 2], vec![1, 2, 9]].map(|list| list.into_iter().map(item).collect::<Vec<_>>());
    let mut seen = [false; 3];
    step_through(&REUSE, |list, _| {
        let which = whole.iter().position(|whole| list == whole).unwrap_or_else(|| panic!("{list:?}"));
        seen[which] = true;
    });
    assert_eq!(seen, [true; 3]);
}

/// What the call finds and what it leaves, when nobody is killed.
fn outcomes((_, prepare, run): &Call) -> [(Vec<Item>, String); 2] {
    let mut stage = Stage { writer: AtomicI32::new(0), list: List::new(), text: Text::new() };
    [prepare, run].map(|change| {
        change(&mut stage);
        (stage.list.to_vec(), stage.text.to_string())
    })
}

// The two processes

const STAGE: &str = "PSHARED_TEST_STAGE";
const CALL: &str = "PSHARED_TEST_CALL";

/// Runs the call in another process and shows the memory to `look` after each instruction.
fn step_through(call: &Call, mut look: impl FnMut(&List, &Text)) {
    let file = TempFile::new();
    let stage = Mapped::new(&file.0);
    // SAFETY: the mapping is a Stage, and the other process isn't there yet.
    (call.1)(unsafe { &mut *stage.0 });

    let mut writer = Writer::start(&file.0, call.0, stage.writer());
    let mut steps = 0;
    while writer.step() {
        steps += 1;
        assert!(steps < 1_000_000, "{}: doesn't end", call.0);
        let (list, text) = stage.contents();
        look(&list, &text);
    }
    assert!(steps > 10, "{}: {steps} steps", call.0);
    let (list, text) = stage.contents();
    assert_eq!((list.to_vec(), text.to_string()), outcomes(call)[1], "{}", call.0);
}

/// Not a test by itself: the process that is stepped.
#[test]
fn the_writer_that_is_stepped() {
    let (Some(path), Ok(name)) = (env::var_os(STAGE), env::var(CALL)) else { return };
    // The watchdog: this signal stops the writer, which its tracer takes for a failure, or ends it before that.
    alarm::set(120);
    let call = WHOLE.iter().chain(MOVING).chain([&REUSE]).find(|call| call.0 == name).unwrap();
    let stage = Mapped::new(Path::new(&path));
    ptrace(libc::PTRACE_TRACEME, 0, 0).unwrap();
    stage.writer().store(gettid().as_raw(), Ordering::Release);
    raise(Signal::SIGSTOP).unwrap();
    // SAFETY: the mapping is a Stage, and the other process only looks while this one is stopped.
    (call.2)(unsafe { &mut *stage.0 });
    raise(Signal::SIGSTOP).unwrap();
}

struct Writer {
    process: Child,
    tid: i32,
}

impl Writer {
    fn start(stage: &Path, call: &str, ready: &AtomicI32) -> Writer {
        let process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "killed::the_writer_that_is_stepped"])
            .env(STAGE, stage)
            .env(CALL, call)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut writer = Writer { process, tid: 0 };
        while writer.tid == 0 {
            assert!(writer.process.try_wait().unwrap().is_none(), "the writer ended before it was ready");
            thread::sleep(Duration::from_millis(1));
            writer.tid = ready.load(Ordering::Acquire);
        }
        assert_eq!(writer.stop(), libc::SIGSTOP);
        ptrace(libc::PTRACE_SETOPTIONS, writer.tid, libc::PTRACE_O_EXITKILL as usize).unwrap();
        writer
    }

    /// Lets the writer do one instruction; false when it is done.
    fn step(&mut self) -> bool {
        ptrace(libc::PTRACE_SINGLESTEP, self.tid, 0).unwrap();
        match self.stop() {
            libc::SIGTRAP => true,
            libc::SIGSTOP => false,
            signal => panic!("signal {signal} stopped the writer"),
        }
    }

    /// Waits until the writer stops, and says for which signal.
    fn stop(&self) -> i32 {
        let mut status = 0;
        // SAFETY: a place for the status, and a thread that this one traces.
        let tid = unsafe { libc::waitpid(self.tid, &mut status, libc::__WALL) };
        assert_eq!(tid, self.tid, "{}", Error::last_os_error());
        assert!(libc::WIFSTOPPED(status), "the writer ended: {status:#x}");
        libc::WSTOPSIG(status)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Detached first: a traced thread that is dead stays until its tracer asks for it.
        let _ = ptrace(libc::PTRACE_DETACH, self.tid, libc::SIGKILL as usize);
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn ptrace(request: libc::c_uint, tid: i32, data: usize) -> Result<(), Error> {
    // SAFETY: the requests used here take a number or nothing as data, and no address.
    match unsafe { libc::ptrace(request, tid, ptr::null_mut::<u8>(), data) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

struct Mapped(*mut Stage);

impl Mapped {
    fn new(path: &Path) -> Mapped {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let len = NonZeroUsize::new(size_of::<Stage>()).unwrap();
        // SAFETY: a new mapping, of a file of this length.
        let at =
            unsafe { mmap(None, len, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, file, 0) };
        Mapped(at.unwrap().as_ptr().cast())
    }

    fn writer(&self) -> &AtomicI32 {
        // SAFETY: the mapping is a Stage, of which this part is atomic.
        unsafe { &(*self.0).writer }
    }

    /// The list and the text as they are at this moment.
    fn contents(&self) -> (List, Text) {
        // SAFETY: the mapping is a Stage, whose list and text take any bytes; who writes to them is stopped.
        unsafe { (ptr::read_volatile(&raw const (*self.0).list), ptr::read_volatile(&raw const (*self.0).text)) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and nothing borrowed from it outlives it.
        unsafe { munmap(ptr::NonNull::new(self.0).unwrap().cast(), size_of::<Stage>()) }.unwrap();
    }
}

struct TempFile(PathBuf);

impl TempFile {
    fn new() -> TempFile {
        let name = format!("pshared-data-{}-{:?}", process::id(), thread::current().id());
        let path = env::temp_dir().join(name);
        File::create(&path).unwrap().set_len(size_of::<Stage>() as u64).unwrap();
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}
