//! Numbers and messages that look like those of `wc`.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// As many columns as `wc` gives each number: enough for the sizes of all regular files together, and 7 where some are
/// not regular.
pub fn number_width(files: &[PathBuf]) -> usize {
    let known = || files.iter().filter_map(|file| fs::metadata(file).ok());
    let bytes: u64 = known().filter(|meta| meta.is_file()).map(|meta| meta.len()).sum();
    let least = if known().all(|meta| meta.is_file()) { 1 } else { 7 };
    bytes.to_string().len().max(least)
}

/// The path as `wc` shows it in messages, fit for a terminal and, mostly, for a shell.
pub fn quoted(path: &Path) -> String {
    match path.to_str() {
        Some(plain) if plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+./,%@".contains(&byte)) => {
            plain.into()
        }
        Some(ascii) if ascii.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\'') => format!("'{ascii}'"),
        _ => format!("{path:?}"),
    }
}

/// What the system calls an error.
pub fn system_message(errno: i32) -> String {
    let message = io::Error::from_raw_os_error(errno).to_string();
    match message.split_once(" (os error") {
        Some((text, _)) => text.to_owned(),
        None => message,
    }
}
