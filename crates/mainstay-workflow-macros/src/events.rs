//! `#[derive(Events)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, Result, Type, Variant};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "the events of a step are the variants of an enum"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "events have no parameters: a run is stored, and read back as one type",
        ));
    }
    let variants = data.variants.iter().map(says).collect::<Result<Vec<_>>>()?;
    let name = &input.ident;
    let names: Vec<String> = variants.iter().map(|(variant, _)| variant.ident.to_string()).collect();
    let into = variants.iter().map(|(Variant { ident, .. }, says)| {
        let event = ident.to_string();
        match says {
            Some(_) => quote! { Self::#ident(said) => ::mainstay_workflow::Done::event(#event).output(said) },
            None => quote! { Self::#ident => ::core::result::Result::Ok(::mainstay_workflow::Done::event(#event)) },
        }
    });
    let read = variants.iter().map(|(Variant { ident, .. }, says)| {
        let event = ident.to_string();
        match says {
            Some(_) => quote! { #event => ::mainstay_workflow::typed::said(step, output).map(Self::#ident) },
            None => quote! { #event => ::core::result::Result::Ok(Self::#ident) },
        }
    });
    let takes = variants.iter().map(|(variant, says)| take(variant, *says));
    Ok(quote! {
        impl ::mainstay_workflow::typed::Events for #name {
            const NAMES: &'static [&'static str] = &[#(#names),*];

            fn to_done(&self) -> ::mainstay_workflow::StepResult {
                match self { #(#into),* }
            }

            fn read(
                step: &str,
                event: &str,
                output: ::core::option::Option<&::mainstay_workflow::typed::Value>,
            ) -> ::core::result::Result<Self, ::mainstay_workflow::StepError> {
                match event {
                    #(#read,)*
                    other => ::core::result::Result::Err(::mainstay_workflow::typed::unknown_event(step, other)),
                }
            }
        }

        impl ::mainstay_workflow::typed::Ending for #name {
            type Event = Self;
            type Target = ::mainstay_workflow::typed::NoTarget;

            fn into_parts(self) -> ::mainstay_workflow::typed::Parts<Self, Self::Target> {
                ::mainstay_workflow::typed::Parts::of(self)
            }
        }

        impl #name {
            #(#takes)*
        }
    })
}

/// What an event says, taken out of it: a function for each variant, by which other steps read it.
fn take(Variant { ident, .. }: &Variant, says: Option<&Type>) -> TokenStream {
    let take = format_ident!("__said_with_{ident}");
    let (ty, pattern, value) = match says {
        Some(ty) => (quote! { #ty }, quote! { Self::#ident(said) }, quote! { said }),
        None => (quote! { () }, quote! { Self::#ident }, quote! { () }),
    };
    quote! {
        #[doc(hidden)]
        #[allow(non_snake_case, unreachable_patterns, reason = "the name of a variant; the only variant needs no other arm")]
        pub fn #take(self) -> ::core::option::Option<#ty> {
            match self {
                #pattern => ::core::option::Option::Some(#value),
                _ => ::core::option::Option::None,
            }
        }
    }
}

/// What a variant says: the type of its only field.
fn says(variant: &Variant) -> Result<(&Variant, Option<&Type>)> {
    match &variant.fields {
        Fields::Unit => Ok((variant, None)),
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            Ok((variant, fields.unnamed.first().map(|field| &field.ty)))
        }
        fields => {
            let text = format!(
                "{} says one thing or nothing: put its fields into a struct, so that other steps can read it",
                variant.ident
            );
            Err(Error::new_spanned(fields, text))
        }
    }
}
