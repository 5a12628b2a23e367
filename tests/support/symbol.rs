//! What the code at a place is called.

use std::fs;

use object::{Object, ObjectSymbol};

/// The function that an instruction of a file belongs to, with whatever was inlined there; `None` where the file doesn't
/// tell.
pub fn function(file: &str, offset: u64) -> Option<String> {
    let bytes = fs::read(file).ok()?;
    let file = object::File::parse(bytes.as_slice()).ok()?;
    // A library that was stripped has the dynamic ones.
    let symbol = file.symbols().chain(file.dynamic_symbols()).find(|symbol| {
        let start = symbol.address();
        (start..start + symbol.size()).contains(&offset)
    })?;
    Some(format!("{:#}", rustc_demangle::demangle(symbol.name().ok()?))) // without the hash
}
