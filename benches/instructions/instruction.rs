//! What an instruction is, where callgrind counts it like any other: fences, and calls of the system.

use std::collections::BTreeMap;
use std::fs;

use object::{Object, ObjectSegment};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `mfence`, `lfence`, `sfence`.
    Fence,
    /// `syscall`.
    SystemCall,
    Other,
}

impl Kind {
    fn of(bytes: &[u8]) -> Kind {
        match bytes {
            [0x0f, 0xae, 0xe8 | 0xf0 | 0xf8, ..] => Kind::Fence,
            [0x0f, 0x05, ..] => Kind::SystemCall,
            _ => Kind::Other,
        }
    }
}

/// The instructions of the files that the program consists of.
#[derive(Default)]
pub struct Kinds {
    files: BTreeMap<String, Code>,
}

impl Kinds {
    /// What the instruction at an address of a file is. Of what is no file, as the kernel's page is, nothing is known.
    pub fn of(&mut self, file: &str, address: u64) -> Kind {
        if !self.files.contains_key(file) {
            self.files.insert(file.to_owned(), Code::of(file));
        }
        Kind::of(self.files[file].at(address))
    }
}

/// What is mapped of a file, and where.
#[derive(Default)]
struct Code {
    segments: Vec<(u64, Vec<u8>)>,
}

impl Code {
    fn of(file: &str) -> Code {
        let bytes = fs::read(file).unwrap_or_default();
        let Ok(file) = object::File::parse(bytes.as_slice()) else { return Code::default() };
        let segment = |segment: object::Segment<'_, '_>| Some((segment.address(), segment.data().ok()?.to_vec()));
        Code { segments: file.segments().filter_map(segment).collect() }
    }

    /// The bytes from there on.
    fn at(&self, address: u64) -> &[u8] {
        let inside = |(start, bytes): &(u64, Vec<u8>)| (*start..start + bytes.len() as u64).contains(&address);
        let segment = self.segments.iter().find(|segment| inside(segment));
        segment.map_or(&[], |(start, bytes)| &bytes[(address - start) as usize..])
    }
}
