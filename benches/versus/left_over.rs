//! What a run that was interrupted has left behind: shared memory, files in the temporary directory, and what System V keeps until somebody removes it, which
//! is therefore noted in a name beside the memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

use crate::place::NAME;

const FOLDER: &str = "/dev/shm";

/// What System V keeps, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Queue(libc::c_int),
    Set(libc::c_int),
}

impl Kept {
    /// Has it removed by the next run, if this one doesn't come to [`remove`](Kept::remove).
    pub fn note(self) -> io::Result<()> {
        fs::write(self.path(std::process::id()), [])
    }

    /// Removes it, and the note of this process.
    pub fn remove(self) {
        self.remove_of(std::process::id());
    }

    fn remove_of(self, process: u32) {
        // They fail if it is gone.
        match self {
            // SAFETY: nothing is read or written for this command.
            Kept::Queue(id) => _ = unsafe { libc::msgctl(id, libc::IPC_RMID, null_mut()) },
            // SAFETY: as above, with no further argument.
            Kept::Set(id) => _ = unsafe { libc::semctl(id, 0, libc::IPC_RMID) },
        }
        let _ = fs::remove_file(self.path(process));
    }

    fn path(self, process: u32) -> PathBuf {
        let (kind, id) = match self {
            Kept::Queue(id) => ("queue", id),
            Kept::Set(id) => ("set", id),
        };
        Path::new(FOLDER).join(format!("{NAME}{process}-{kind}-{id}"))
    }

    /// What the rest of a note's name says.
    fn parse(note: &str) -> Option<Kept> {
        match note.split_once('-')? {
            ("queue", id) => id.parse().ok().map(Kept::Queue),
            ("set", id) => id.parse().ok().map(Kept::Set),
            _ => None,
        }
    }
}

/// Removes what runs have left behind that have ended.
pub fn sweep() {
    sweep_folder(Path::new(FOLDER));
    sweep_folder(&std::env::temp_dir());
    // The sets of locks whose memory is gone now, and of nobody else who lives.
    let _ = pshared::sysv::sweep();
}

fn sweep_folder(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours = name.to_str().and_then(|name| name.strip_prefix(NAME)).and_then(|rest| rest.split_once('-'));
        let Some((process, what)) = ours.and_then(|(process, what)| Some((process.parse().ok()?, what))) else {
            continue;
        };
        if Path::new("/proc").join(format!("{process}")).exists() {
            continue;
        }
        match Kept::parse(what) {
            Some(kept) => kept.remove_of(process),
            None => _ = fs::remove_file(entry.path()), // fails if it is somebody else's
        }
    }
}
