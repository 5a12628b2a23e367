//! Counts one file as `wc` does in the C locale.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::books::Counts;

/// What a word begins with; white space ends it in any case.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
pub enum Words {
    /// A printable ASCII character: GNU wc before 9.5
    #[default]
    Printable,
    /// Any byte but white space: GNU wc since 9.5
    Any,
}

/// What is in the file, as far as it could be read, and whether that was all of it.
pub fn count_file(path: &Path, words: Words) -> (Counts, io::Result<()>) {
    let mut counter = Counter { counts: Counts::default(), words, in_word: false };
    let outcome = open(path).and_then(|file| counter.count(file));
    (counter.counts, outcome)
}

/// Opens what can be read from its beginning as often as it takes.
fn open(path: &Path) -> io::Result<File> {
    let once_only = || Err(nix::errno::Errno::ESPIPE.into());
    // Looked at before it is opened, which for a pipe may wait for ever.
    if path.metadata()?.file_type().is_fifo() {
        return once_only();
    }
    let file = File::open(path)?;
    if file.is_terminal() { once_only() } else { Ok(file) }
}

struct Counter {
    counts: Counts,
    words: Words,
    in_word: bool,
}

impl Counter {
    fn count(&mut self, mut file: impl Read) -> io::Result<()> {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => self.add(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.counts.bytes += bytes.len() as u64;
        for &byte in bytes {
            match byte {
                b'\n' => {
                    self.counts.lines += 1;
                    self.in_word = false;
                }
                b' ' | b'\t' | b'\r' | b'\x0b' | b'\x0c' => self.in_word = false,
                _ if self.in_word => {}
                b'!'..=b'~' => self.begin_word(),
                _ => match self.words {
                    Words::Printable => {}
                    Words::Any => self.begin_word(),
                },
            }
        }
    }

    fn begin_word(&mut self) {
        self.in_word = true;
        self.counts.words += 1;
    }
}
