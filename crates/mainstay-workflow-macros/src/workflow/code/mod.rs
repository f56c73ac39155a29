//! The code that a workflow becomes.

mod graph;
mod handlers;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Ident, Path};

use super::check::text;
use super::tree::{Flow, Kind, Route, Signal, Step};
use graph::definition;
use handlers::handlers;

/// Compares the events of each step with its routes. This is apart from the rest, so that it is told together with other problems.
pub(super) fn events(flow: &Flow) -> TokenStream {
    let tasks = flow.steps.iter().filter_map(|step| match &step.kind {
        Kind::Task(call) => Some((step, &call.path)),
        _ => None,
    });
    tasks.map(|(step, path)| event_checks(step, path)).collect()
}

fn event_checks(step: &Step, path: &Path) -> TokenStream {
    let key = text(&step.key);
    let names: Vec<String> = step.routes.iter().map(|route| text(&route.event)).collect();
    let declared = quote_spanned! {step.key.span()=>
        <<<#path as ::mainstay_workflow::typed::Step>::Output as ::mainstay_workflow::typed::Ending>::Event
            as ::mainstay_workflow::typed::Events>::NAMES
    };
    // The event of a step that failed for good is the workflow's; it may be one of the step's own.
    let routes = step.routes.iter().filter(|route| step.failed.as_ref() != Some(&route.event));
    let each = routes.map(|Route { event, .. }| {
        let name = text(event);
        quote_spanned! {event.span()=>
            const _: () = ::mainstay_workflow::typed::is_declared(#key, #declared, #name);
        }
    });
    let all = quote_spanned! {step.key.span()=>
        const _: () = ::mainstay_workflow::typed::all_routed(#key, #declared, &[#(#names),*]);
    };
    quote! { #all #(#each)* }
}

/// What is left of a workflow that is not sound: its name and its signals, so that other code finds them.
pub(super) fn stub(flow: &Flow) -> TokenStream {
    let Flow { visibility, ident, input, name, version, .. } = flow;
    let signals = signals(flow);
    quote! {
        #[derive(Debug, Clone, Copy)]
        #[allow(missing_docs, reason = "it does not compile")]
        #visibility struct #ident;

        impl ::mainstay_workflow::typed::TypedWorkflow for #ident {
            type Input = #input;
            const NAME: &'static str = #name;

            fn key(_: &Self::Input) -> ::core::option::Option<::std::string::String> {
                ::core::option::Option::None
            }
        }

        impl ::mainstay_workflow::typed::TypedVersion for #ident {
            const VERSION: u32 = #version;

            fn version() -> ::mainstay_workflow::Version {
                ::mainstay_workflow::typed::unsound()
            }
        }

        #signals
    }
}

pub(super) fn whole(flow: &Flow, documentation: &str) -> TokenStream {
    let Flow { attributes, visibility, ident, name, version, input, .. } = flow;
    let definition = definition(flow);
    let handlers = flow.steps.iter().map(|step| handlers(flow, step));
    let key = match &flow.unique {
        Some(unique) => {
            let value = &unique.value;
            quote! { ::core::option::Option::Some(::mainstay_workflow::typed::key_of(input, #value)) }
        }
        None => quote! { let _ = input; ::core::option::Option::None },
    };
    let signals = signals(flow);
    quote! {
        #(#attributes)*
        #[doc = ""]
        #[doc = #documentation]
        #[derive(Debug, Clone, Copy)]
        #visibility struct #ident;

        impl ::mainstay_workflow::typed::TypedWorkflow for #ident {
            type Input = #input;
            const NAME: &'static str = #name;

            fn key(input: &Self::Input) -> ::core::option::Option<::std::string::String> {
                #key
            }
        }

        impl ::mainstay_workflow::typed::TypedVersion for #ident {
            const VERSION: u32 = #version;

            fn version() -> ::mainstay_workflow::Version {
                let handlers = ::mainstay_workflow::Handlers::new();
                #(#handlers)*
                ::mainstay_workflow::Version { workflow: #definition, handlers }
            }
        }

        impl ::mainstay_workflow::WorkflowSource for #ident {
            fn versions() -> ::std::vec::Vec<::mainstay_workflow::Version> {
                ::std::vec![<Self as ::mainstay_workflow::typed::TypedVersion>::version()]
            }
        }

        #signals
    }
}

/// A function for each signal, so that it is sent with what the waits read.
fn signals(flow: &Flow) -> TokenStream {
    let mut seen: Vec<&Ident> = Vec::new();
    let mut functions = TokenStream::new();
    for step in &flow.steps {
        let Kind::Wait { signals, .. } = &step.kind else { continue };
        for Signal { name, payload, .. } in signals {
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let (of, signal) = (text(name), quote! { ::mainstay_workflow::typed::Signal });
            functions.extend(match payload {
                Some(payload) => {
                    let doc = format!("The signal `{of}`.\n\n# Errors\nWhen the payload has no form in JSON.");
                    quote! {
                        #[doc = #doc]
                        pub fn #name(payload: &#payload) -> ::core::result::Result<#signal, ::mainstay_workflow::Error> {
                            #signal::with(#of, payload)
                        }
                    }
                }
                None => {
                    let doc = format!("The signal `{of}`; nothing comes with it.");
                    quote! {
                        #[doc = #doc]
                        #[must_use]
                        pub fn #name() -> #signal {
                            #signal::new(#of)
                        }
                    }
                }
            });
        }
    }
    let ident = &flow.ident;
    if seen.is_empty() {
        TokenStream::new()
    } else {
        quote! { impl #ident { #functions } }
    }
}
