//! `#[step]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, Ident, ItemFn, LitStr, Result, ReturnType, Token, Type};

use crate::time::{Policy, Time};

/// What stands in the attribute's brackets.
#[derive(Debug, Default)]
pub(crate) struct Options {
    tx: bool,
    retry: Option<Policy>,
    timeout: Option<Time>,
    queue: Option<LitStr>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let word: Ident = input.parse()?;
            match word.to_string().as_str() {
                "tx" => options.tx = true,
                "retry" => {
                    input.parse::<Token![=]>()?;
                    options.retry = Some(input.parse()?);
                }
                "timeout" => {
                    input.parse::<Token![=]>()?;
                    options.timeout = Some(at_least_one(input.parse()?, "the time-out of an attempt")?);
                }
                "queue" => {
                    input.parse::<Token![=]>()?;
                    options.queue = Some(input.parse()?);
                }
                _ => {
                    return Err(Error::new(
                        word.span(),
                        "the options are `tx`, `retry = …`, `timeout = …` and `queue = \"…\"`",
                    ));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

/// A time that is not zero.
pub(crate) fn at_least_one(time: Time, what: &str) -> Result<Time> {
    if time.ms == 0 { Err(Error::new(time.at, format!("{what} must be at least 1 ms"))) } else { Ok(time) }
}

pub(crate) fn expand(options: &Options, item: &ItemFn) -> Result<TokenStream> {
    let Shape { parameters, interactive, returned } = shape(options, item)?;
    let (vis, name) = (&item.vis, &item.sig.ident);
    let names = parameters.iter().enumerate().map(|(at, ty)| format_ident!("arg{at}", span = ty.span()));
    let names: Vec<Ident> = names.collect();
    let asynchronous = item.sig.asyncness.as_ref().map(|_| quote! { .await });
    let tx_argument = interactive.then(|| quote! { tx, });
    let tx_there = if interactive {
        quote! {
            let ::core::option::Option::Some(tx) = tx else {
                return ::core::result::Result::Err(::mainstay_workflow::typed::no_transaction(cx));
            };
        }
    } else {
        quote! { let _ = tx; }
    };
    let retry = optional(options.retry.as_ref().map(Policy::expression));
    let timeout = optional(options.timeout.map(|Time { ms, .. }| quote! { #ms }));
    let queue = optional(options.queue.as_ref().map(|name| quote! { #name }));
    let (tx, text) = (options.tx, name.to_string());
    let output =
        quote_spanned! {returned.span()=> <#returned as ::mainstay_workflow::typed::Returned>::Value };
    let run = quote_spanned! {name.span()=>
        impl #name {
            #[doc(hidden)]
            #[allow(clippy::unused_async, reason = "steps that do not wait are called like those that do")]
            #vis async fn __run(
                cx: &::mainstay_workflow::StepContext,
                tx: ::core::option::Option<&mut ::mainstay_workflow::typed::Transaction>,
                #(#names: #parameters),*
            ) -> ::core::result::Result<#output, ::mainstay_workflow::StepError> {
                #tx_there
                ::mainstay_workflow::typed::Returned::into_result(#name(cx, #tx_argument #(#names),*)#asynchronous)
            }
        }
    };
    Ok(quote! {
        #item

        // A type beside the function: it has the same name, but lives where types do.
        #[doc(hidden)]
        #[allow(non_camel_case_types, missing_debug_implementations, unreachable_pub, reason = "it stands for the function")]
        #vis struct #name {}

        impl ::mainstay_workflow::typed::Step for #name {
            type Output = #output;
            const NAME: &'static str = #text;
            const TX: bool = #tx;
            const INTERACTIVE: bool = #interactive;
            const RETRY: ::core::option::Option<::mainstay_workflow::Retry> = #retry;
            const TIMEOUT_MS: ::core::option::Option<u64> = #timeout;
            const QUEUE: ::core::option::Option<&'static str> = #queue;
        }

        #run
    })
}

fn optional(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote! { ::core::option::Option::Some(#value) },
        None => quote! { ::core::option::Option::None },
    }
}

/// What a step's function looks like.
struct Shape<'a> {
    /// The types of what it reads.
    parameters: Vec<&'a Type>,
    /// Whether it works in a transaction that it is given.
    interactive: bool,
    returned: &'a Type,
}

fn shape<'a>(options: &Options, item: &'a ItemFn) -> Result<Shape<'a>> {
    let signature = &item.sig;
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &signature.generics,
            "a step has no parameters of types or lifetimes: it is stored under its name",
        ));
    }
    let ReturnType::Type(_, returned) = &signature.output else {
        let text = "a step returns a Result: its event, or what it made, or why it failed";
        return Err(Error::new_spanned(&signature.ident, text));
    };
    let mut parameters = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Typed(parameter) => parameters.push(&*parameter.ty),
            FnArg::Receiver(receiver) => {
                return Err(Error::new_spanned(
                    receiver,
                    "a step is a function without `self`; take host state from the context",
                ));
            }
        }
    }
    let mut parameters = parameters.into_iter();
    if !matches!(parameters.next(), Some(Type::Reference(first)) if first.mutability.is_none()) {
        let text = "a step takes its context first: `cx: &StepContext`";
        let at = signature.inputs.first().map_or_else(|| signature.ident.span(), |first| first.span());
        return Err(Error::new(at, text));
    }
    let mut parameters: Vec<&Type> = parameters.collect();
    let is_mutable = |ty: &&Type| matches!(ty, Type::Reference(one) if one.mutability.is_some());
    let interactive = parameters.first().is_some_and(is_mutable);
    if interactive {
        let tx = parameters.remove(0);
        if !options.tx {
            return Err(Error::new_spanned(tx, "a transaction is given to `#[step(tx)]` only"));
        }
    }
    if let Some(more) = parameters.iter().find(|ty| is_mutable(ty)) {
        return Err(Error::new_spanned(more, "what a step reads does not change: take `&`, or `Option<&_>`"));
    }
    Ok(Shape { parameters, interactive, returned })
}
