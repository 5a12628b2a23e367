//! Regions by place: each test gets a name, a path and two keys of its own, and leaves none of them behind.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use pshared::Error;
use pshared::region::{File, Mapping, Posix, Region, Staged, SysV};

/// Where a region is, in words that another process understands.
#[derive(Clone, Debug)]
pub enum Place {
    Posix(String),
    File(PathBuf),
    Key(i32),
    Ftok(PathBuf),
}

impl Place {
    pub fn region(&self, mode: Option<u32>) -> Box<dyn Region> {
        fn with<R: Region + 'static>(
            region: R,
            mode: Option<u32>,
            set: impl FnOnce(R, u32) -> Result<R, Error>,
        ) -> Box<dyn Region> {
            Box::new(match mode {
                Some(mode) => set(region, mode).unwrap(),
                None => region,
            })
        }
        match self {
            Place::Posix(name) => with(Posix::new(name).unwrap(), mode, Posix::mode),
            Place::File(path) => with(File::new(path).unwrap(), mode, File::mode),
            Place::Key(key) => with(SysV::key(*key).unwrap(), mode, SysV::mode),
            Place::Ftok(path) => with(SysV::ftok(path, b't').unwrap(), mode, SysV::mode),
        }
    }

    pub fn words(&self) -> [String; 2] {
        match self {
            Place::Posix(name) => ["posix".into(), name.clone()],
            Place::File(path) => ["file".into(), path.display().to_string()],
            Place::Key(key) => ["key".into(), key.to_string()],
            Place::Ftok(path) => ["ftok".into(), path.display().to_string()],
        }
    }

    pub fn from_words(words: &[String]) -> Place {
        match words[0].as_str() {
            "posix" => Place::Posix(words[1].clone()),
            "file" => Place::File(words[1].clone().into()),
            "key" => Place::Key(words[1].parse().unwrap()),
            "ftok" => Place::Ftok(words[1].clone().into()),
            other => panic!("no place is called {other}"),
        }
    }

    /// Whether the system has something here, asked past the library.
    pub fn exists(&self) -> bool {
        match self {
            Place::Posix(name) => Path::new("/dev/shm").join(name).symlink_metadata().is_ok(),
            Place::File(path) => path.symlink_metadata().is_ok(),
            Place::Key(key) => sysv_mode(*key).is_some(),
            Place::Ftok(path) => sysv_mode(ftok(path)).is_some(),
        }
    }

    pub fn permissions(&self) -> u32 {
        let of_file = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
        match self {
            Place::Posix(name) => of_file(&Path::new("/dev/shm").join(name)),
            Place::File(path) => of_file(path),
            Place::Key(key) => sysv_mode(*key).unwrap(),
            Place::Ftok(path) => sysv_mode(ftok(path)).unwrap(),
        }
    }
}

/// The key as ftok(3) documents it.
fn ftok(path: &Path) -> i32 {
    let file = path.metadata().unwrap();
    ((file.ino() & 0xffff) as i32) | (((file.dev() & 0xff) as i32) << 16) | (i32::from(b't') << 24)
}

/// The mode of the segment with that key, from the kernel's list.
fn sysv_mode(key: i32) -> Option<u32> {
    let list = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let rows = list.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    let mut found = rows.filter(|row| row[0] == key.to_string());
    found.next().map(|row| u32::from_str_radix(row[2], 8).unwrap() & 0o777)
}

/// One test's own names and directory, all removed at its end.
pub struct Scratch {
    name: String,
    pub directory: PathBuf,
    pub places: Vec<Place>,
}

impl Scratch {
    pub fn new() -> Scratch {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("pshared-test-{}-{number}-", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        std::fs::create_dir(&directory).unwrap();
        let anchor = directory.join("anchor");
        std::fs::write(&anchor, "a file for ftok").unwrap();
        let key = 0x4000_0000 | ((std::process::id() as i32 & 0x3f_ffff) << 8) | (number as i32 & 0xff);
        let places = vec![
            Place::Posix(name.clone()),
            Place::File(directory.join("region")),
            Place::Key(key),
            Place::Ftok(anchor),
        ];
        Scratch { name, directory, places }
    }

    pub fn posix(&self) -> &Place {
        &self.places[0]
    }

    pub fn file(&self) -> &Place {
        &self.places[1]
    }

    /// The places that show nothing before it is complete.
    pub fn hidden(&self) -> [&Place; 2] {
        [self.posix(), self.file()]
    }

    pub fn segments(&self) -> &[Place] {
        &self.places[2..]
    }

    /// The names in the file's directory and in `/dev/shm` that are this test's.
    pub fn leftovers(&self) -> Vec<String> {
        let in_shm = std::fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().file_name());
        let in_shm = in_shm.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with(&self.name));
        let here = std::fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap().file_name());
        let here = here.map(|name| name.into_string().unwrap()).filter(|name| name != "anchor");
        in_shm.chain(here).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for place in &self.places {
            let _ = place.region(None).remove();
        }
        std::fs::remove_dir_all(&self.directory).unwrap();
    }
}

pub fn write(mapping: &Mapping, bytes: &[u8]) {
    assert!(bytes.len() <= mapping.len());
    // SAFETY: the mapping is as long as that; these tests' processes take turns by messages.
    unsafe { mapping.as_ptr().copy_from_nonoverlapping(std::ptr::NonNull::from(bytes).cast(), bytes.len()) };
}

pub fn read(mapping: &Mapping, len: usize) -> Vec<u8> {
    assert!(len <= mapping.len());
    // SAFETY: the mapping is as long as that; these tests' processes take turns by messages.
    unsafe { std::slice::from_raw_parts(mapping.as_ptr().as_ptr(), len) }.to_vec()
}

pub fn stage(region: &dyn Region, bytes: &[u8]) -> Staged {
    let staged = region.stage(bytes.len()).unwrap();
    write(staged.mapping(), bytes);
    staged
}

/// The errno of a system call's failure, which the result must be.
pub fn errno<T: std::fmt::Debug>(result: Result<T, Error>) -> Errno {
    let error = result.unwrap_err();
    Errno::from_raw(error.errno().unwrap_or_else(|| panic!("no system error: {error}")))
}
