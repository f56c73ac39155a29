//! `workflow!`: reads it, checks it with the validator that also runs at run time, and writes the code.

mod check;
mod code;
mod parse;
mod picture;
mod reads;
mod tree;

use proc_macro2::TokenStream;
use quote::quote;
use syn::Error;

pub(crate) use tree::Flow;

/// The code of a workflow, or of as much of it as is left when something is wrong, so that one mistake is told once.
pub(crate) fn expand(flow: &Flow) -> TokenStream {
    let events = code::events(flow);
    match check::check(flow) {
        Ok(workflow) => {
            let whole = code::whole(flow, &picture::documentation(&workflow));
            quote! { #whole #events }
        }
        Err(errors) => {
            let errors = errors.into_iter().map(Error::into_compile_error);
            let stub = code::stub(flow);
            quote! { #(#errors)* #stub #events }
        }
    }
}
