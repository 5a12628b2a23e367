//! `ShmCell<T>`: a header that says what the memory holds, and the value.

pub(crate) mod layout;
pub(crate) mod safe;
