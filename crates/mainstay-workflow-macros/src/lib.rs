//! The macros of `mainstay-workflow`; use them from there, where they are described.

#![deny(missing_docs)]

mod events;
mod step;
mod time;
mod versions;
mod workflow;

use proc_macro::TokenStream;
use syn::{DeriveInput, ItemFn, parse_macro_input};

/// Declares what a step can end with: each variant is an event, its one field, if it has one, is what the event says.
///
/// The field's type is written and read as JSON, so it has serde's `Serialize` and `Deserialize`. The event has the variant's name.
#[proc_macro_derive(Events)]
pub fn derive_events(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    events::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a function the code of a step; `workflow!` puts it into a graph.
///
/// The function stays as it is and can be called. Its first parameter is `&StepContext`; those that follow are references to what
/// `workflow!` passes: the run's input and what earlier steps said. It returns a `Result`.
///
/// * `#[step(tx)]`: what it does in the database commits together with the step's result and the next task. It takes
///   `tx: &mut Transaction` as its second parameter, or returns a `Batch` beside its event: `Result<(Event, Batch), _>`.
/// * `#[step(retry = 5)]`, `#[step(retry = never)]`, `#[step(retry = 5 exponential 1s..60s)]` (or `linear`, `constant`): how often it
///   is tried, and the pauses.
/// * `#[step(timeout = 30s)]`: how long an attempt may take, in `ms`, `s`, `min`, `h` or `d`.
#[proc_macro_attribute]
pub fn step(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options as step::Options);
    let item = parse_macro_input!(item as ItemFn);
    step::expand(&options, &item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Declares a workflow, which is checked while it is compiled.
#[proc_macro]
pub fn workflow(input: TokenStream) -> TokenStream {
    let flow = parse_macro_input!(input as workflow::Flow);
    workflow::expand(&flow).into()
}

/// Puts the versions of one workflow together and says which one is current.
#[proc_macro]
pub fn versions(input: TokenStream) -> TokenStream {
    let versions = parse_macro_input!(input as versions::Versions);
    versions::expand(&versions).unwrap_or_else(syn::Error::into_compile_error).into()
}
