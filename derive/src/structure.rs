//! Structs.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Fields, Generics, Ident, Index, Member, Type, parse_quote_spanned};

use crate::attributes::{Repr, allow_deprecated, names, refuse_lifetimes};
use crate::{Errors, Wanted, evaluated_here, never_dropped};

pub fn expand(input: &DeriveInput, fields: &Fields, wanted: Wanted) -> syn::Result<TokenStream> {
    let mut errors = Errors::default();
    refuse_repr(&input.ident, &Repr::of(&input.attrs)?, &mut errors);
    refuse_lifetimes(&input.generics, &mut errors);
    let parts: Vec<Part> = fields.iter().enumerate().map(|(i, field)| Part::new(i, field, input)).collect();
    for part in &parts {
        if let Some(why) = never_allowed(part.ty) {
            errors.push(Error::new_spanned(part.ty, format!("field `{}`: {why}", part.name)));
        }
    }
    errors.finish()?;

    let safe = implement_safe(input, &parts, wanted);
    let data = (wanted == Wanted::Data).then(|| implement_data(input, &parts)).into_iter();
    let evaluated_here = evaluated_here(input).into_iter();
    let allow = allow_deprecated(input, fields.iter().map(|f| &f.attrs));
    Ok(quote! {
        #allow
        #safe
        #(#allow #data)*
        #(#allow #evaluated_here)*
    })
}

/// A field.
struct Part<'a> {
    member: Member,
    name: String,
    ty: &'a Type,
    /// What it is called where the struct is taken apart.
    local: Ident,
    proof: Proof,
}

/// Where the compiler is asked whether a field's type is allowed.
///
/// Std's derives bound the parameters: `T: ShmSafe`. That would be wrong twice over here: of `Mutex<T, B>` the
/// parameter `T` must be more than that (`ShmData`) and `B` is a backend that never stands in memory. So the types of
/// the fields are bounded, which is exact. Bounds on an implementation may name private types without a warning.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// The type names a type parameter: a bound on the implementation.
    Bound,
    /// It names none, and the compiler can say at once: inside `TYPE`. (A bound without parameters is an error of its own.)
    Inside,
    /// It names the parameter within the struct itself, `PhantomData<Node<T>>` in `Node<T>`: a bound would ask for itself
    /// for ever (E0275), inside it follows from the bounds of the other fields. (Another field has the parameter,
    /// E0392.)
    Recursive,
}

impl<'a> Part<'a> {
    fn new(i: usize, field: &'a syn::Field, input: &DeriveInput) -> Part<'a> {
        let tokens = field.ty.to_token_stream();
        let mut params = input.generics.type_params().map(|p| &p.ident).peekable();
        // Without parameters there are no bounds that could ask for themselves.
        let proof = if params.peek().is_some() && names_self(&tokens, &input.ident) {
            Proof::Recursive
        } else if params.any(|p| names(&tokens, p)) {
            Proof::Bound
        } else {
            Proof::Inside
        };
        let member = match &field.ident {
            Some(ident) => Member::Named(ident.clone()),
            None => Member::Unnamed(Index { index: i as u32, span: field.ty.span() }),
        };
        let name = field.ident.as_ref().map_or_else(|| i.to_string(), |ident| ident.unraw().to_string());
        Part { member, name, ty: &field.ty, local: format_ident!("pshared_field_{i}"), proof }
    }

    /// Whether it is already known to be `ShmData`, and so without a lock.
    fn is_plain(&self, wanted: Wanted) -> bool {
        wanted == Wanted::Data && self.proof == Proof::Inside
    }
}

fn implement_safe(input: &DeriveInput, parts: &[Part], wanted: Wanted) -> TokenStream {
    let ident = &input.ident;
    let name = ident.unraw().to_string();
    let never_dropped = never_dropped(ident);
    let generics = with_bounds(input, parts, Wanted::Safe);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();

    // Asking for `ShmData` right away makes one error of what would be two.
    let plain = parts.iter().any(|p| p.is_plain(wanted)).then(|| {
        quote! {
            const fn pshared_data_field<F: ::pshared::ShmData>(
                pshared_name: &'static ::core::primitive::str,
                pshared_offset: ::core::primitive::usize,
            ) -> ::pshared::Field {
                ::pshared::Field::new::<F>(pshared_name, pshared_offset)
            }
        }
    });
    let rows = parts.iter().map(|part| {
        let Part { member, name, ty, .. } = part;
        let new = if part.is_plain(wanted) { quote!(pshared_data_field) } else { quote!(::pshared::Field::new) };
        quote!(#new::<#ty>(#name, ::core::mem::offset_of!(Self, #member)))
    });
    let members = parts.iter().map(|p| &p.member);
    let locals = parts.iter().map(|p| &p.local);
    let again = parts.iter().map(|p| &p.local);
    let types = parts.iter().map(|p| p.ty);
    let each_lock = each_lock(parts, wanted);
    quote! {
        #[automatically_derived]
        unsafe impl #impl_generics ::pshared::ShmSafe for #ident #ty_generics #where_clause {
            const TYPE: ::pshared::Type = {
                #never_dropped
                #plain
                // An attribute macro may change the struct after the derive saw it: these are all its fields and types.
                let _ = |pshared_value: &Self| {
                    let Self { #(#members: #locals),* } = pshared_value;
                    #(let _: &#types = #again;)*
                };
                ::pshared::Type::structure::<Self>(#name, const { &[#(#rows),*] })
            };

            #each_lock
        }
    }
}

/// Visits the fields that may have locks.
fn each_lock(parts: &[Part], wanted: Wanted) -> Option<TokenStream> {
    let visited: Vec<&Part> = parts.iter().filter(|p| !p.is_plain(wanted)).collect();
    if visited.is_empty() {
        return None;
    }
    let members = visited.iter().map(|p| &p.member);
    let types = visited.iter().map(|p| p.ty);
    // A type that isn't `ShmSafe` fails here and in `TYPE`. Naming what `TYPE` names makes the two errors equal, and the
    // compiler shows one.
    Some(quote! {
        fn each_lock(
            &self,
            pshared_visit: &mut dyn ::core::ops::FnMut(&dyn ::pshared::Resident) -> ::pshared::Result<()>,
        ) -> ::pshared::Result<()> {
            #(let _ = ::pshared::Field::new::<#types>;
            <#types as ::pshared::ShmSafe>::each_lock(&self.#members, pshared_visit)?;)*
            ::core::result::Result::Ok(())
        }
    })
}

fn implement_data(input: &DeriveInput, parts: &[Part]) -> TokenStream {
    let ident = &input.ident;
    let generics = with_bounds(input, parts, Wanted::Data);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let recursive: Vec<_> = parts.iter().filter(|p| p.proof == Proof::Recursive).map(|p| p.ty).collect();
    // The constant has its default value; it is also the one place here where these can be asked for.
    let asked = (!recursive.is_empty()).then(|| {
        quote! {
            const CRASH_CONSISTENT: ::core::primitive::bool = {
                const fn pshared_data<F: ::pshared::ShmData>() {}
                #(pshared_data::<#recursive>();)*
                false
            };
        }
    });
    quote! {
        #[automatically_derived]
        unsafe impl #impl_generics ::pshared::ShmData for #ident #ty_generics #where_clause { #asked }
    }
}

/// The struct's own parameters and bounds, and `wanted` for the fields with [`Proof::Bound`].
fn with_bounds(input: &DeriveInput, parts: &[Part], wanted: Wanted) -> Generics {
    let mut generics = input.generics.clone();
    let bounded: Vec<_> = parts.iter().filter(|p| p.proof == Proof::Bound).map(|p| p.ty).collect();
    if !bounded.is_empty() {
        let wanted = wanted.ident();
        let clause = generics.make_where_clause();
        // The span makes an error point at the field's type.
        clause.predicates.extend(bounded.iter().map(|ty| {
            let predicate: syn::WherePredicate =
                parse_quote_spanned!(Span::call_site().located_at(ty.span())=> #ty: ::pshared::#wanted);
            predicate
        }));
    }
    generics
}

fn refuse_repr(ident: &Ident, repr: &Repr, errors: &mut Errors) {
    if let Some(packed) = repr.find("packed") {
        let message = "a packed struct may not stand in shared memory: locks and atomics need their alignment; \
                       order the fields so that there is no padding instead";
        errors.push(Error::new_spanned(packed, message));
    }
    if repr.find("C").is_none() && repr.find("transparent").is_none() {
        let message = format!(
            "`{ident}` needs `#[repr(C)]`: otherwise every build may order its fields differently, \
             and two processes would see different structs"
        );
        errors.push(Error::new_spanned(ident, message));
    }
}

/// Why a field can't have this type, where its looks alone say so.
///
/// The traits refuse these as well, but not before a struct with parameters is used, and without a word on the case.
fn never_allowed(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Array(array) => never_allowed(&array.elem),
        Type::Group(group) => never_allowed(&group.elem),
        Type::Paren(paren) => never_allowed(&paren.elem),
        Type::Tuple(tuple) if !tuple.elems.is_empty() => Some("a tuple has no fixed layout; use a `#[repr(C)]` struct"),
        Type::Reference(_) => Some(
            "a reference means nothing in another process; use the value itself, ShmString<N> for text, ShmVec<T, N> for a list",
        ),
        Type::Ptr(_) => Some("a pointer means nothing in another process; use an index or an offset"),
        Type::FnPtr(_) => Some("a function has another address in each process; use a field-less enum that says which"),
        Type::Slice(_) => Some("a slice has no fixed length; use an array or ShmVec<T, N>"),
        Type::TraitObject(_) | Type::ImplTrait(_) => {
            Some("a trait object points to code, which has another address in each process; use a concrete type")
        }
        _ => None,
    }
}

fn names_self(tokens: &TokenStream, ident: &Ident) -> bool {
    names(tokens, ident) || names(tokens, &format_ident!("Self"))
}
