//! The derive macros of [`pshared`](https://docs.rs/pshared), which exports them beside the traits they implement.
//!
//! What they refuse, and why, is said at each macro. The proof that they may write `unsafe impl`: the layout is fixed
//! by a `repr`, every part is itself allowed (checked by the compiler in the expansion), and nothing is dropped.

mod attributes;
mod enumeration;
mod structure;

use proc_macro2::Span;
use quote::quote;
use syn::{Data, DeriveInput, Error, Ident, parse_macro_input};

/// Lets a struct stand in shared memory: implements `pshared::ShmSafe`.
///
/// ```
/// use std::sync::atomic::AtomicU64;
/// use pshared::ShmSafe;
///
/// #[repr(C)]
/// #[derive(ShmSafe)]
/// struct Counters<const N: usize> {
///     started: AtomicU64,
///     done: [AtomicU64; N],
///     version: u32,
/// }
///
/// // The structure is known at compile time; cells of one structure only are attached.
/// const FOUR: u64 = Counters::<4>::TYPE.fingerprint();
/// const FIVE: u64 = Counters::<5>::TYPE.fingerprint();
/// assert_ne!(FOUR, FIVE);
/// ```
///
/// # What it takes
///
/// - A struct with named fields, a tuple struct or a unit struct, `#[repr(C)]` or `#[repr(transparent)]`, with
///   `align(N)` if wanted. Not `packed`: locks and atomics need their alignment.
/// - Every field `ShmSafe`. A tuple, reference, pointer, slice or trait object is refused by its looks, anything else by
///   the trait.
/// - Type and const parameters. A field whose type names a type parameter becomes a condition of the implementation, as
///   in `where Mutex<[T; N], B>: ShmSafe`; so a `Vec<T>` is reported where the struct is used, not where it is defined.
///   No lifetime parameters: what is in shared memory outlives every borrow.
/// - A generic struct may name itself, as `Node` or `Self`, where that has no bytes (`PhantomData<Node<T>>`). Two
///   generic structs that name each other are refused by the compiler (E0275).
/// - No `Drop`: values in shared memory are never dropped. For a struct with parameters this, too, is
///   reported where it is used.
///
/// Enums and unions are refused; [`ShmData`] takes enums without fields.
///
/// # The structure
///
/// What counts is the struct's name (not its path), and each field's name, offset and structure. A parameter counts as
/// far as the fields depend on it: two structs that differ in a parameter that occurs in `PhantomData` only are the same.
#[proc_macro_derive(ShmSafe)]
pub fn derive_shm_safe(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), Wanted::Safe)
}

/// Lets a struct, or an enum without fields, stand inside a lock: implements `pshared::ShmData` and
/// `pshared::ShmSafe` (so derive one of the two, not both).
///
/// ```
/// use pshared::ShmData;
///
/// #[repr(u8)]
/// #[derive(Clone, Copy, ShmData)]
/// enum Level {
///     Quiet,
///     Loud = 10,
/// }
///
/// #[repr(C)]
/// #[derive(ShmData)]
/// struct Config {
///     limit: u32,
///     level: Level,
/// }
///
/// fn may_be_locked<T: ShmData>() {}
/// may_be_locked::<[Config; 4]>();
/// ```
///
/// A process may be killed between any two stores, so the data in a lock must be valid for every mixture of the bytes of
/// two values:
///
/// - A struct as in [`ShmSafe`](macro@ShmSafe), with every field `ShmData`: no lock, no atomic, no `char`.
///   A generic struct is `ShmData` for the parameters that make its fields so, and `ShmSafe` for more of them:
///   `Padded<T>` is both for `u64`, and only `ShmSafe` for `AtomicU64`.
/// - An enum without fields, with `#[repr(u8)]` or `#[repr(i8)]`. One byte is written at once; of two or more, half may be of one
///   variant and half of another. A variant with fields is refused because the tag of one variant could stand
///   beside the fields of another.
#[proc_macro_derive(ShmData)]
pub fn derive_shm_data(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand(&parse_macro_input!(input as DeriveInput), Wanted::Data)
}

/// Which of the two derives was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Safe,
    Data,
}

impl Wanted {
    /// The trait's name.
    fn ident(self) -> Ident {
        let name = match self {
            Wanted::Safe => "ShmSafe",
            Wanted::Data => "ShmData",
        };
        Ident::new(name, Span::call_site())
    }
}

fn expand(input: &DeriveInput, wanted: Wanted) -> proc_macro::TokenStream {
    let expansion = match &input.data {
        Data::Struct(data) => structure::expand(input, &data.fields, wanted),
        Data::Enum(data) => enumeration::expand(input, data, wanted),
        Data::Union(data) => Err(Error::new(
            data.union_token.span,
            "a union may not stand in shared memory: nothing says which of its fields is valid; use a struct",
        )),
    };
    expansion.unwrap_or_else(Error::into_compile_error).into()
}

/// `assert!` that a type has no destructor, to stand in its `TYPE`.
fn never_dropped(ident: &Ident) -> proc_macro2::TokenStream {
    let message = format!("`{ident}` may not implement Drop: values in shared memory are never dropped");
    // Located at the type's name, where the error then points.
    let span = Span::call_site().located_at(ident.span());
    quote::quote_spanned!(span=> ::core::assert!(!::core::mem::needs_drop::<Self>(), #message);)
}

/// Evaluates `TYPE` where the type is defined, so that its assertions are reported there. A type with parameters has to
/// wait until it is used.
fn evaluated_here(input: &DeriveInput) -> Option<proc_macro2::TokenStream> {
    let ident = &input.ident;
    let concrete = input.generics.params.is_empty();
    concrete.then(|| quote!(const _: ::pshared::Type = <#ident as ::pshared::ShmSafe>::TYPE;))
}

/// All that is wrong with one definition, so that it is reported at once.
#[derive(Default)]
struct Errors(Option<Error>);

impl Errors {
    fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn finish(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
