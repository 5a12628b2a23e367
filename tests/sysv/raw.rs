//! SysV semaphores past the library: what the system has, what is in the memory, and what anybody could do to it.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use pshared::ShmSafe;

/// What the sets of this crate look like from outside.
pub const MARK: u64 = 0xd5c;
pub const COUNT: i32 = 5;
pub const BELL: u16 = 3;
pub const USERS: u16 = 4;

/// A row of the system's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: i32,
    pub id: i32,
    pub count: i32,
    /// When somebody last operated on it, in seconds since 1970; 0 is never.
    pub operated: u64,
    pub changed: u64,
}

/// All sets of this IPC namespace.
pub fn sets() -> Vec<Row> {
    let list = std::fs::read_to_string("/proc/sysvipc/sem").unwrap();
    let row = |line: &str| {
        let field: Vec<i64> = line.split_whitespace().map(|field| field.parse().unwrap()).collect();
        let small = |at: usize| field[at] as i32;
        let time = |at: usize| field[at] as u64;
        Row { key: small(0), id: small(1), count: small(3), operated: time(8), changed: time(9) }
    };
    list.lines().skip(1).map(row).collect()
}

/// The set of that id.
pub fn find(id: i32) -> Option<Row> {
    sets().into_iter().find(|row| row.id == id)
}

/// Whether it is old enough to be swept.
pub fn is_old(row: Row) -> bool {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    now >= row.operated.max(row.changed) + 2
}

/// The words of `value` that name a set: its key above, its id below.
pub fn names<T: ShmSafe>(value: &T) -> Vec<&AtomicU64> {
    assert!(align_of::<T>() >= 8);
    let first = std::ptr::from_ref(value).cast::<AtomicU64>();
    // SAFETY: words of the value, which is shared memory made of atomics and of what nobody else uses now.
    let words = (0..size_of::<T>() / 8).map(|i| unsafe { &*first.add(i) });
    words.filter(|word| word.load(Ordering::SeqCst) >> 52 == MARK).collect()
}

/// The only word that names a set.
pub fn name<T: ShmSafe>(value: &T) -> &AtomicU64 {
    let names = names(value);
    assert_eq!(names.len(), 1, "{names:x?}");
    names[0]
}

/// The id in such a word.
pub fn id(name: &AtomicU64) -> i32 {
    name.load(Ordering::SeqCst) as u32 as i32
}

/// A set that isn't the library's, gone with this.
pub struct Foreign {
    pub id: i32,
}

impl Foreign {
    pub fn new(key: i32, count: i32) -> Foreign {
        Foreign { id: create(key, count).unwrap() }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = remove(self.id);
    }
}

/// `semget`.
pub fn create(key: i32, count: i32) -> Result<i32, Errno> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::semget(key, count, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) })
}

/// `ipcrm -s`.
pub fn remove(id: i32) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::semctl(id, 0, libc::IPC_RMID) }).map(drop)
}

/// `semop` of one operation.
pub fn operate(id: i32, at: u16, by: i16, flags: i32) -> Result<(), Errno> {
    let mut operation = libc::sembuf { sem_num: at, sem_op: by, sem_flg: flags as i16 };
    // SAFETY: one operation, which outlives the call.
    Errno::result(unsafe { libc::semop(id, &mut operation, 1) }).map(drop)
}

pub fn value(id: i32, at: u16) -> i32 {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::semctl(id, i32::from(at), libc::GETVAL) }).unwrap()
}

/// How many sleep until the value grows; nobody on a set that is gone.
pub fn sleepers(id: i32, at: u16) -> i32 {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::semctl(id, i32::from(at), libc::GETNCNT) }).unwrap_or(0)
}
