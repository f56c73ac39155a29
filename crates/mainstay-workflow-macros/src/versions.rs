//! `versions!`: one workflow in several versions.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, Ident, LitInt, LitStr, Path, Result, Token, Visibility, braced};

/// The versions of one workflow.
#[derive(Debug)]
pub(crate) struct Versions {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    ident: Ident,
    name: LitStr,
    versions: Vec<(u32, Span, Path)>,
    current: u32,
    current_at: Span,
}

impl Parse for Versions {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        input.parse::<Token![struct]>()?;
        let ident = input.parse()?;
        input.parse::<Token![=]>()?;
        let name = input.parse()?;
        let inside;
        braced!(inside in input);
        let mut versions = Vec::new();
        while !inside.is_empty() {
            let number: LitInt = inside.parse()?;
            inside.parse::<Token![=>]>()?;
            versions.push((number.base10_parse()?, number.span(), inside.call(Path::parse_mod_style)?));
            if !inside.is_empty() {
                inside.parse::<Token![,]>()?;
            }
        }
        let word: Ident = input
            .parse()
            .map_err(|error| Error::new(error.span(), "say which one is current: `current 2`"))?;
        if word != "current" {
            return Err(Error::new(word.span(), "say which one is current: `current 2`"));
        }
        let number: LitInt = input.parse()?;
        Ok(Self {
            attributes,
            visibility,
            ident,
            name,
            versions,
            current: number.base10_parse()?,
            current_at: number.span(),
        })
    }
}

pub(crate) fn expand(versions: &Versions) -> Result<TokenStream> {
    let Versions { attributes, visibility, ident, name, versions, current, current_at } = versions;
    for (at, (number, span, _)) in versions.iter().enumerate() {
        if *number == 0 {
            return Err(Error::new(*span, "the version must be at least 1"));
        }
        if versions.iter().take(at).any(|(other, ..)| other == number) {
            return Err(Error::new(*span, format!("version {number} is there twice")));
        }
    }
    let Some((_, _, newest)) = versions.iter().find(|(number, ..)| number == current) else {
        return Err(Error::new(
            *current_at,
            format!("version {current} is current, but not among the versions"),
        ));
    };
    let paths: Vec<&Path> = versions.iter().map(|(_, _, path)| path).collect();
    let checks = versions.iter().map(|(number, span, path)| {
        quote_spanned! {*span=>
            const _: () = ::mainstay_workflow::typed::is_version::<#path>(#name, #number);
        }
    });
    let inputs = paths.iter().map(|path| {
        quote_spanned! {path.span()=>
            const _: fn(
                <#path as ::mainstay_workflow::typed::TypedWorkflow>::Input,
            ) -> <#ident as ::mainstay_workflow::typed::TypedWorkflow>::Input = |input| input;
        }
    });
    Ok(quote! {
        #(#attributes)*
        #[derive(Debug, Clone, Copy)]
        #visibility struct #ident;

        impl ::mainstay_workflow::typed::TypedWorkflow for #ident {
            type Input = <#newest as ::mainstay_workflow::typed::TypedWorkflow>::Input;
            const NAME: &'static str = #name;

            fn key(input: &Self::Input) -> ::core::option::Option<::std::string::String> {
                <#newest as ::mainstay_workflow::typed::TypedWorkflow>::key(input)
            }
        }

        impl ::mainstay_workflow::WorkflowSource for #ident {
            fn versions() -> ::std::vec::Vec<::mainstay_workflow::Version> {
                ::std::vec![#(<#paths as ::mainstay_workflow::typed::TypedVersion>::version()),*]
            }

            fn current() -> ::core::option::Option<u32> {
                ::core::option::Option::Some(#current)
            }
        }

        #(#checks)*
        #(#inputs)*
    })
}
