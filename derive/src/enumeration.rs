//! Enums without fields.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{DataEnum, DeriveInput, Error, Fields, Ident};

use crate::attributes::{Repr, allow_deprecated, refuse_lifetimes};
use crate::{Errors, Wanted, evaluated_here, never_dropped};

pub fn expand(input: &DeriveInput, data: &DataEnum, wanted: Wanted) -> syn::Result<TokenStream> {
    let ident = &input.ident;
    if wanted == Wanted::Safe {
        return Err(Error::new_spanned(
            ident,
            format!("`{ident}` is an enum: derive ShmData instead, which implements ShmSafe too"),
        ));
    }
    let mut errors = Errors::default();
    refuse_lifetimes(&input.generics, &mut errors);
    refuse_variants(ident, data, &mut errors);
    let repr = byte(ident, &Repr::of(&input.attrs)?, &mut errors);
    errors.finish()?;

    let name = ident.unraw().to_string();
    let repr_name = repr.to_string();
    let (impl_generics, ty_generics, where_clause) = input.generics.split_for_impl();
    let variants: Vec<_> = data.variants.iter().map(|v| &v.ident).collect();
    let names = variants.iter().map(|v| v.unraw().to_string());
    let never_dropped = never_dropped(ident);
    let evaluated_here = evaluated_here(input).into_iter();
    let allow = allow_deprecated(input, data.variants.iter().map(|v| &v.attrs));
    Ok(quote! {
        #[automatically_derived]
        #allow
        unsafe impl #impl_generics ::pshared::ShmSafe for #ident #ty_generics #where_clause {
            const TYPE: ::pshared::Type = {
                #never_dropped
                // An attribute macro may change the enum after the derive saw it: these are all its variants.
                let _ = |pshared_value: &Self| match pshared_value {
                    #(Self::#variants => {})*
                };
                ::pshared::Type::fieldless_enum::<Self>(#name, #repr_name, const {
                    &[#((#names, Self::#variants as ::core::primitive::#repr as ::core::primitive::i128)),*]
                })
            };
        }

        #[automatically_derived]
        #allow
        unsafe impl #impl_generics ::pshared::ShmData for #ident #ty_generics #where_clause {}

        #(#allow #evaluated_here)*
    })
}

fn refuse_variants(ident: &Ident, data: &DataEnum, errors: &mut Errors) {
    if data.variants.is_empty() {
        errors.push(Error::new_spanned(ident, format!("`{ident}` has no variant: no bytes are a value of it")));
    }
    for variant in &data.variants {
        let name = &variant.ident;
        let message = if !variant.fields.is_empty() {
            format!(
                "variant `{name}` has fields: a writer killed half-way leaves the tag of one variant beside the fields of \
                 another; use a struct of an enum without fields and the data"
            )
        } else if !matches!(variant.fields, Fields::Unit) {
            format!("write `{name}` without brackets: only then does the compiler tell every variant's value")
        } else {
            continue;
        };
        errors.push(Error::new_spanned(variant, message));
    }
}

/// The type of one byte that the enum is stored as.
fn byte(ident: &Ident, repr: &Repr, errors: &mut Errors) -> Ident {
    let mut byte = None;
    for hint in &repr.hints {
        match hint.to_string().as_str() {
            "u8" | "i8" => byte = Some(format_ident!("{hint}")),
            "align" => {}
            _ => {
                let message = format!(
                    "an enum inside a lock is stored in one byte, as `#[repr(u8)]` or `#[repr(i8)]`, not `{hint}`: \
                     of several bytes a killed writer may leave half of one variant and half of another, which is none"
                );
                errors.push(Error::new_spanned(hint, message));
                byte.get_or_insert(format_ident!("u8"));
            }
        }
    }
    byte.unwrap_or_else(|| {
        let message =
            format!("`{ident}` needs `#[repr(u8)]` or `#[repr(i8)]`: otherwise the compiler chooses how to store it");
        errors.push(Error::new_spanned(ident, message));
        format_ident!("u8")
    })
}
