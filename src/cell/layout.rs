//! What a type looks like in memory, known at compile time: the fingerprint that attaching compares, and the table of
//! fields that names the first difference and lets a tool read a region that it was not compiled for.

use std::fmt::Write;
use std::mem::{align_of, needs_drop, size_of};

use super::safe::ShmSafe;

/// The structure of a type that may stand in a cell.
#[derive(Debug)]
pub struct Type {
    kind: Kind,
    size: usize,
    align: usize,
    has_lock: bool,
}

/// One field of a struct: its name, its offset in bytes, its type.
#[derive(Debug)]
pub struct Field {
    name: &'static str,
    offset: usize,
    ty: &'static Type,
}

#[derive(Debug)]
enum Kind {
    Primitive(&'static str),
    Array {
        len: usize,
        element: &'static Type,
    },
    Struct {
        name: &'static str,
        fields: &'static [Field],
    },
    /// A field-less enum: the integer it is stored as and its variants with their values.
    Enum {
        name: &'static str,
        repr: &'static str,
        variants: &'static [(&'static str, i128)],
    },
    /// A lock: what it is, which backend, how many slots, and the data behind it.
    Lock {
        what: &'static str,
        backend: &'static str,
        slots: usize,
        data: &'static Type,
        data_offset: usize,
    },
}

impl Field {
    /// A field `name` of type `F` at `offset` bytes.
    pub const fn new<F: ShmSafe>(name: &'static str, offset: usize) -> Field {
        Field { name, offset, ty: Type::of::<F>() }
    }
}

struct Promoted<T>(std::marker::PhantomData<T>);

impl<T: ShmSafe> Promoted<T> {
    const TYPE: &'static Type = &T::TYPE;
}

impl Type {
    /// The structure of `T`.
    pub const fn of<T: ShmSafe>() -> &'static Type {
        Promoted::<T>::TYPE
    }

    const fn new<T>(kind: Kind, has_lock: bool) -> Type {
        assert!(
            !needs_drop::<T>(),
            "a type in shared memory is never dropped: it may not implement Drop or own anything that does"
        );
        Type { kind, size: size_of::<T>(), align: align_of::<T>(), has_lock }
    }

    /// A type without parts that matter, known by its name.
    pub const fn primitive<T>(name: &'static str) -> Type {
        Type::new::<T>(Kind::Primitive(name), false)
    }

    /// `[E; len]`.
    pub const fn array<T, E: ShmSafe>(len: usize) -> Type {
        Type::new::<T>(Kind::Array { len, element: Type::of::<E>() }, E::TYPE.has_lock)
    }

    /// A `repr(C)` struct.
    pub const fn structure<T>(name: &'static str, fields: &'static [Field]) -> Type {
        let mut has_lock = false;
        let mut i = 0;
        while i < fields.len() {
            has_lock |= fields[i].ty.has_lock;
            i += 1;
        }
        Type::new::<T>(Kind::Struct { name, fields }, has_lock)
    }

    /// A field-less enum stored as the integer type `repr`.
    pub const fn fieldless_enum<T>(
        name: &'static str,
        repr: &'static str,
        variants: &'static [(&'static str, i128)],
    ) -> Type {
        Type::new::<T>(Kind::Enum { name, repr, variants }, false)
    }

    /// A lock around `D`; `slots` is the number of per-holder slots, 0 where it has none.
    pub const fn lock<T, D: ShmSafe>(
        what: &'static str,
        backend: &'static str,
        slots: usize,
        data_offset: usize,
    ) -> Type {
        Type::new::<T>(Kind::Lock { what, backend, slots, data: Type::of::<D>(), data_offset }, true)
    }

    /// Whether a lock is anywhere inside.
    pub const fn has_lock(&self) -> bool {
        self.has_lock
    }

    /// The type's size in bytes.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The type's alignment in bytes.
    pub const fn align(&self) -> usize {
        self.align
    }

    /// Whether all zero bytes are a value of the type.
    pub(crate) const fn zeroed_is_a_value(&self) -> bool {
        match &self.kind {
            Kind::Primitive(_) => true,
            Kind::Array { len, element } => *len == 0 || element.zeroed_is_a_value(),
            Kind::Struct { fields, .. } => {
                let mut i = 0;
                while i < fields.len() {
                    if !fields[i].ty.zeroed_is_a_value() {
                        return false;
                    }
                    i += 1;
                }
                true
            }
            Kind::Enum { variants, .. } => {
                let mut i = 0;
                while i < variants.len() {
                    if variants[i].1 == 0 {
                        return true;
                    }
                    i += 1;
                }
                false
            }
            Kind::Lock { data, .. } => data.zeroed_is_a_value(),
        }
    }

    /// A hash over names, kinds, offsets, sizes, lengths, backends and slot counts.
    pub const fn fingerprint(&self) -> u64 {
        let mut h = Hash::new().number(self.size as u128).number(self.align as u128);
        match &self.kind {
            Kind::Primitive(name) => h = h.number(1).text(name),
            Kind::Array { len, element } => h = h.number(2).number(*len as u128).number(element.fingerprint() as u128),
            Kind::Struct { name, fields } => {
                h = h.number(3).text(name).number(fields.len() as u128);
                let mut i = 0;
                while i < fields.len() {
                    let f = &fields[i];
                    h = h.text(f.name).number(f.offset as u128).number(f.ty.fingerprint() as u128);
                    i += 1;
                }
            }
            Kind::Enum { name, repr, variants } => {
                h = h.number(4).text(name).text(repr).number(variants.len() as u128);
                let mut i = 0;
                while i < variants.len() {
                    h = h.text(variants[i].0).number(variants[i].1 as u128);
                    i += 1;
                }
            }
            Kind::Lock { what, backend, slots, data, data_offset } => {
                h = h.number(5).text(what).text(backend).number(*slots as u128);
                h = h.number(*data_offset as u128).number(data.fingerprint() as u128);
            }
        }
        h.0
    }

    /// The table of fields: a line `offset size kind path` for the type and for each part of it, offsets in bytes
    /// from the start of the value; `path[]` is the first element of an array.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        self.rows(0, "value", &mut table);
        table
    }

    /// The first row in which two tables differ: the field's path, and what each says of it. A row that differs in
    /// nothing but its size is passed over: a part of it differs, and is what somebody looks for.
    pub(crate) fn first_difference(found: &str, expected: &str) -> Option<(String, String, String)> {
        let mut rows = (found.lines(), expected.lines());
        let mut in_size = None;
        loop {
            let (found, expected) = match (rows.0.next(), rows.1.next()) {
                (None, None) => return in_size,
                (found, expected) if found == expected => continue,
                different => (different.0.map(Row::parse), different.1.map(Row::parse)),
            };
            if let (Some(found), Some(expected)) = (&found, &expected)
                && found.path == expected.path
            {
                let difference = (format!("`{}`", shown(found.path)), found.describe(), expected.describe());
                if (found.offset, found.kind) == (expected.offset, expected.kind) {
                    in_size.get_or_insert(difference);
                    continue;
                }
                return Some(difference);
            }
            let name = |row: &Option<Row<'_>>| {
                row.as_ref().map_or("nothing more".into(), |row| format!("`{}`, {}", shown(row.path), row.describe()))
            };
            return Some(("the next field".into(), name(&found), name(&expected)));
        }
    }

    fn rows(&self, at: usize, path: &str, out: &mut String) {
        // Writing to a String can't fail.
        let _ = writeln!(out, "{at} {} {} {path}", self.size, self.kind_name());
        match &self.kind {
            Kind::Primitive(_) | Kind::Enum { .. } => {}
            Kind::Array { element, .. } => {
                if !matches!(element.kind, Kind::Primitive(_)) {
                    element.rows(at, &format!("{path}[]"), out);
                }
            }
            Kind::Struct { fields, .. } => {
                for f in *fields {
                    f.ty.rows(at + f.offset, &format!("{path}.{}", f.name), out);
                }
            }
            Kind::Lock { data, data_offset, .. } => data.rows(at + data_offset, &format!("{path}.data"), out),
        }
    }

    fn kind_name(&self) -> String {
        match &self.kind {
            Kind::Primitive(name) => name.replace(' ', ""),
            Kind::Array { len, element } => format!("[{};{len}]", element.kind_name()),
            Kind::Struct { name, .. } => format!("struct:{name}"),
            Kind::Enum { name, repr, variants } => {
                let list: Vec<_> = variants.iter().map(|(v, n)| format!("{v}={n}")).collect();
                format!("enum:{name}:{repr}{{{}}}", list.join(","))
            }
            Kind::Lock { what, backend, slots: 0, .. } => format!("lock:{what}:{backend}"),
            Kind::Lock { what, backend, slots, .. } => format!("lock:{what}:{backend}:{slots}"),
        }
    }
}

/// A line of the table.
struct Row<'a> {
    offset: &'a str,
    size: &'a str,
    kind: &'a str,
    path: &'a str,
}

impl Row<'_> {
    fn parse(line: &str) -> Row<'_> {
        let mut parts = line.splitn(4, ' ');
        let mut next = || parts.next().unwrap_or("?");
        Row { offset: next(), size: next(), kind: next(), path: next() }
    }

    fn describe(&self) -> String {
        format!("{} of {} bytes at offset {}", shown(self.kind), shown(self.size), shown(self.offset))
    }
}

/// What stood in shared memory, for a message: not too long, and nothing that does things to terminals.
fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut shown: String = text.chars().take(LONGEST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// FNV-1a over 64 bits, with the length before every text so that neighbours can't run together.
struct Hash(u64);

impl Hash {
    const fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    const fn bytes(self, bytes: &[u8]) -> Hash {
        let mut h = self.0;
        let mut i = 0;
        while i < bytes.len() {
            h = (h ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            i += 1;
        }
        Hash(h)
    }

    const fn number(self, n: u128) -> Hash {
        self.bytes(&n.to_le_bytes())
    }

    const fn text(self, s: &str) -> Hash {
        self.number(s.len() as u128).bytes(s.as_bytes())
    }
}
