//! Derive macros of `mainstay-repo`; use them from there.

#![deny(missing_docs)]

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, parse_macro_input};

/// Reads a struct from a row: each field is the column of its name.
///
/// * `#[row(column = "name")]`: the column has another name.
/// * `#[row(parse)]`: a text column, read by the field's `FromStr`; an `Option` is null.
/// * `#[row(json)]`: a JSON column, read by the field's `Deserialize`.
#[proc_macro_derive(FromRow, attributes(row))]
pub fn derive_from_row(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: &DeriveInput) -> Result<Tokens, Error> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            input.span(),
            "FromRow reads structs; write the impl for other types by hand",
        ));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(input.span(), "FromRow needs named fields: each is the column of its name"));
    };
    let reads = fields.named.iter().map(read_field).collect::<Result<Vec<_>, _>>()?;
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics ::mainstay_repo::FromRow for #name #type_generics #where_clause {
            fn from_row(row: &::mainstay_repo::Row) -> ::mainstay_repo::Result<Self> {
                ::core::result::Result::Ok(Self { #(#reads),* })
            }
        }
    })
}

/// How a field is read.
#[derive(Default)]
struct FieldOptions {
    column: Option<LitStr>,
    parse: bool,
    json: bool,
}

fn read_field(field: &Field) -> Result<Tokens, Error> {
    let Some(ident) = &field.ident else {
        return Err(Error::new(field.span(), "FromRow needs named fields"));
    };
    let options = field_options(field)?;
    let column = options.column.unwrap_or_else(|| LitStr::new(&ident.to_string(), ident.span()));
    let ty = &field.ty;
    if options.parse && options.json {
        return Err(Error::new(field.span(), "a column is read by `parse` or by `json`, not by both"));
    }
    let read = if options.parse && is_option(ty) {
        quote_spanned! {field.span()=> row.parse_optional(#column)?}
    } else if options.parse {
        quote_spanned! {field.span()=> row.parse(#column)?}
    } else if options.json {
        quote_spanned! {field.span()=> row.get::<::mainstay_repo::Json>(#column)?.to()?}
    } else {
        quote_spanned! {field.span()=> row.get::<#ty>(#column)?}
    };
    Ok(quote! { #ident: #read })
}

fn field_options(field: &Field) -> Result<FieldOptions, Error> {
    let mut options = FieldOptions::default();
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("row")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("column") {
                options.column = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("parse") {
                options.parse = true;
            } else if meta.path.is_ident("json") {
                options.json = true;
            } else {
                return Err(meta.error("the options are `column = \"…\"`, `parse` and `json`"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

fn is_option(ty: &syn::Type) -> bool {
    let syn::Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == "Option")
}
