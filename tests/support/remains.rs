//! What a thread of another process would leave if it were killed now, and where it is in its program.

use std::fmt;
use std::fs;
use std::io::IoSliceMut;
use std::ops::Range;

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::symbol;

/// An instruction in a mapped file, the same in every process that has it mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    file: String,
    offset: u64,
    /// Where it is in all processes, if that is the same.
    everywhere: Option<u64>,
}

impl Place {
    /// The same with the function that it is in, where the file tells.
    pub fn with_function(&self) -> String {
        symbol::function(&self.file, self.offset).map_or_else(|| self.to_string(), |name| format!("{self} in {name}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:#x}", self.file, self.offset)
    }
}

/// Whether processes have their files at the same addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// They are forks of one.
    One,
    Several,
}

/// A line of `/proc/TID/maps`.
struct Mapping {
    range: Range<u64>,
    is_shared: bool,
    is_writable: bool,
    name: String,
}

fn mappings(tid: Pid) -> Vec<Mapping> {
    let lines = fs::read_to_string(format!("/proc/{tid}/maps")).unwrap();
    lines.lines().map(|line| mapping(line).unwrap_or_else(|| panic!("no mapping: {line}"))).collect()
}

fn mapping(line: &str) -> Option<Mapping> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    let rights = fields.next()?;
    Some(Mapping {
        range: number(start)?..number(end)?,
        is_shared: rights.ends_with('s'),
        is_writable: rights[1..].starts_with('w'),
        name: fields.nth(3).unwrap_or_default().to_owned(),
    })
}

impl Place {
    /// The address of the instruction in a process that has the file.
    pub fn address(&self, tid: Pid) -> u64 {
        if let Some(address) = self.everywhere {
            return address;
        }
        let start = mappings(tid).iter().find(|mapping| mapping.name == self.file).map(|mapping| mapping.range.start);
        start.unwrap_or_else(|| panic!("{} is not mapped", self.file)) + self.offset
    }
}

/// More links than any test has locks.
const LINKS: usize = 16;

pub struct Remains {
    tid: Pid,
    mappings: Vec<Mapping>,
    /// Where the head of the robust list is; 0 where there is none.
    head: u64,
    last: Look,
}

/// What was seen at one look.
#[derive(Clone, Default, PartialEq, Eq)]
struct Look {
    /// The bytes of all shared mappings.
    shared: Vec<u8>,
    /// The head of the robust list and `list_op_pending`, and where each link leads.
    list: Vec<u64>,
}

impl Remains {
    pub fn of(tid: Pid) -> Remains {
        let mut remains = Remains { tid, mappings: mappings(tid), head: head_of(tid), last: Look::default() };
        remains.look_again();
        remains
    }

    /// Looks again, at the mappings and the list that there were; whether anything is different.
    pub fn look_again(&mut self) -> bool {
        let now = Look { shared: self.shared(), list: self.list() };
        let before = std::mem::replace(&mut self.last, now);
        before != self.last
    }

    fn shared(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.last.shared.len());
        for mapping in self.mappings.iter().filter(|mapping| mapping.is_shared && mapping.is_writable) {
            let (start, len) = (all.len(), (mapping.range.end - mapping.range.start) as usize);
            all.resize(start + len, 0);
            // Fails past the end of a file that has become shorter.
            let _ = read(self.tid, mapping.range.start, &mut all[start..]);
        }
        all
    }

    fn list(&self) -> Vec<u64> {
        let mut head = [0; 24];
        if self.head == 0 || read(self.tid, self.head, &mut head) != Ok(head.len()) {
            return Vec::new();
        }
        let mut list: Vec<u64> = head.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect();
        let (mut at, mut word) = (list[0], [0; 8]);
        while list.len() < LINKS && at & !1 != self.head && read(self.tid, at & !1, &mut word) == Ok(word.len()) {
            at = u64::from_ne_bytes(word);
            list.push(at);
        }
        list
    }

    /// The place of the instruction at that address.
    pub fn place(&self, address: u64, images: Images) -> Place {
        let of = self.mappings.iter().find(|mapping| mapping.range.contains(&address));
        let name = of.map_or("", |mapping| &mapping.name);
        let first = self.mappings.iter().find(|mapping| mapping.name == name);
        let offset = address - first.map_or(0, |mapping| mapping.range.start);
        Place { file: name.to_owned(), offset, everywhere: (images == Images::One).then_some(address) }
    }
}

fn read(tid: Pid, at: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
    let from = [RemoteIoVec { base: at as usize, len: bytes.len() }];
    process_vm_readv(tid, &mut [IoSliceMut::new(bytes)], &from)
}

fn head_of(tid: Pid) -> u64 {
    let (mut head, mut len) = (0_u64, 0_usize);
    // SAFETY: two places that outlive the call, as wide as the kernel's pointer and length.
    Errno::result(unsafe { libc::syscall(libc::SYS_get_robust_list, tid.as_raw(), &raw mut head, &raw mut len) })
        .unwrap();
    head
}
