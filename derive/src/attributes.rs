//! Attributes, parameters and names: what structs and enums have in common.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::parse::Parse;
use syn::{Attribute, DeriveInput, Error, Generics, Ident, parenthesized, token};

use crate::Errors;

/// The hints of all `#[repr(…)]` attributes of a type, without their arguments.
pub struct Repr {
    pub hints: Vec<Ident>,
}

impl Repr {
    pub fn of(attributes: &[Attribute]) -> syn::Result<Repr> {
        let mut hints = Vec::new();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("repr")) {
            attribute.parse_nested_meta(|meta| {
                if meta.input.peek(token::Paren) {
                    let arguments;
                    parenthesized!(arguments in meta.input);
                    TokenStream::parse(&arguments)?;
                }
                hints.extend(meta.path.get_ident().cloned());
                Ok(())
            })?;
        }
        Ok(Repr { hints })
    }

    pub fn find(&self, hint: &str) -> Option<&Ident> {
        self.hints.iter().find(|h| *h == hint)
    }
}

pub fn refuse_lifetimes(generics: &Generics, errors: &mut Errors) {
    for parameter in generics.lifetimes() {
        let message = format!(
            "no lifetime parameter is allowed: what is in shared memory outlives every borrow, so `{}` could only be 'static",
            parameter.lifetime
        );
        errors.push(Error::new_spanned(&parameter.lifetime, message));
    }
}

/// `#[allow(deprecated)]` for the expansion, if the definition has the word in an attribute: naming the type, a field or a
/// variant would warn of what the user has said already. Not always, because it is an error under `forbid`.
pub fn allow_deprecated<'a>(
    input: &'a DeriveInput,
    parts: impl Iterator<Item = &'a Vec<Attribute>>,
) -> Option<TokenStream> {
    let word = format_ident!("deprecated");
    let found = parts.chain([&input.attrs]).flatten().any(|a| names(&a.to_token_stream(), &word));
    found.then(|| quote!(#[allow(deprecated)]))
}

/// Whether `ident` is in `tokens` as a name of its own: not `path::ident`, not the lifetime `'ident`.
pub fn names(tokens: &TokenStream, ident: &Ident) -> bool {
    let mut qualified = false;
    for tree in tokens.clone() {
        match &tree {
            TokenTree::Ident(found) if !qualified && found.unraw() == ident.unraw() => return true,
            TokenTree::Group(group) if names(&group.stream(), ident) => return true,
            _ => {}
        }
        qualified = matches!(&tree, TokenTree::Punct(p) if matches!(p.as_char(), ':' | '\''));
    }
    false
}
