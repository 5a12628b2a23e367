//! What machine, boot and C library this is.

#[cfg(target_env = "gnu")]
use std::ffi::CStr;
use std::fs;

use nix::errno::Errno;

/// `/proc/sys/kernel/random/boot_id` (random(4)): different after every boot.
pub(crate) fn boot_id() -> Result<[u8; 16], Errno> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
    let digits: Vec<u8> = text.bytes().filter_map(|b| (b as char).to_digit(16)).map(|digit| digit as u8).collect();
    let mut id = [0; 16];
    if digits.len() != 2 * id.len() {
        return Err(Errno::EINVAL);
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Ok(id)
}

/// The C libraries whose locks have different layouts.
#[allow(dead_code, reason = "each build makes those of its own target only")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Libc {
    /// glibc before 2.41.
    Glibc = 1,
    /// glibc since 2.41, whose condition variables are laid out anew.
    Glibc241 = 2,
    Musl = 3,
    Other = 255,
}

impl Libc {
    /// The generation that `code` stands for, for messages.
    pub(crate) fn describe(code: u8) -> String {
        match code {
            1 => "glibc before 2.41".into(),
            2 => "glibc 2.41 or later".into(),
            3 => "musl".into(),
            255 => "another C library".into(),
            other => format!("unknown ({other})"),
        }
    }
}

/// `gnu_get_libc_version`, or what the build target says.
pub(crate) fn libc() -> Libc {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: takes nothing and returns a static string.
        let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
        let mut numbers = version.to_str().unwrap_or("").split('.').map(|n| n.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version >= (2, 41) { Libc::Glibc241 } else { Libc::Glibc }
    }
    #[cfg(target_env = "musl")]
    {
        Libc::Musl
    }
    #[cfg(not(any(target_env = "gnu", target_env = "musl")))]
    {
        Libc::Other
    }
}
