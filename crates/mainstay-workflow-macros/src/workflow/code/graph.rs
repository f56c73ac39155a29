//! The graph, by the calls of the builder that make it.

use mainstay_workflow_graph::graph::Presence;
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Ident;

use crate::time::Time;
use crate::workflow::check::text;
use crate::workflow::reads;
use crate::workflow::tree::{Flow, Join, Kind, Route, Signal, Step};

/// The graph, by the builder.
pub(super) fn definition(flow: &Flow) -> TokenStream {
    let Flow { name, version, tags, .. } = flow;
    let unique = flow.unique.as_ref().map(|unique| {
        let (key, scope) = (text(&unique.key), Ident::new(unique.scope, Span::call_site()));
        quote! {
            .unique(::mainstay_workflow::Unique {
                key: ::std::string::String::from(#key), scope: ::mainstay_workflow::Scope::#scope,
            })
        }
    });
    let deadline = flow.deadline.map(|time| {
        let time = duration(time);
        quote! { .deadline(#time) }
    });
    let metadata = flow.metadata.iter().map(|(name, value)| {
        let value = value.to_string();
        quote! { .metadata(#name, ::mainstay_workflow::typed::json(#value)) }
    });
    let nodes = flow.steps.iter().map(|step| node(flow, step));
    quote! {
        ::mainstay_workflow::Definition::new(#name, #version)
            #unique
            #(.tag(#tags))*
            #(#metadata)*
            #deadline
            #(.node(#nodes))*
            .build()
    }
}

fn duration(time: Time) -> TokenStream {
    let ms = time.ms;
    quote! { ::core::time::Duration::from_millis(#ms) }
}

fn node(flow: &Flow, step: &Step) -> TokenStream {
    let key = text(&step.key);
    let kind = kind(step, &key);
    let routes = step.routes.iter().map(|Route { event, targets, choice }| {
        let (event, targets) = (text(event), targets.iter().map(text));
        let method = match choice {
            None => quote! { on },
            Some(choice) if choice.many => quote! { choose_some },
            Some(_) => quote! { choose },
        };
        quote! { .#method(#event, [#(#targets),*]) }
    });
    let join = match step.join {
        None | Some((Join::All, _)) => None,
        Some((Join::Any, _)) => Some(quote! { .join(::mainstay_workflow::Join::Any) }),
        Some((Join::AtLeast(edges), _)) => Some(quote! { .join(::mainstay_workflow::Join::AtLeast(#edges)) }),
    };
    let retry = step.retry.as_ref().map(|(policy, _)| {
        let policy = policy.expression();
        quote! { .retry(#policy) }
    });
    let timeout = step.timeout.map(|time| {
        let time = duration(time);
        quote! { .timeout(#time) }
    });
    let queue = step.queue.as_ref().map(|name| quote! { .queue(#name) });
    let undo = step.undo.as_ref().map(|_| {
        let name = format!("{key}/undo");
        quote! { .compensate(#name) }
    });
    let failed = step.failed.as_ref().map(|event| {
        let event = text(event);
        quote! { .fails_with(#event) }
    });
    let reads = reads::reads(flow, step).into_iter().map(|(from, presence)| {
        let from = from.as_str().to_owned();
        match presence {
            Presence::Optional => quote! { .reads_if_any(#from) },
            Presence::Required => quote! { .reads(#from) },
            Presence::After(event) => {
                let event = event.as_str().to_owned();
                quote! { .reads_after(#from, #event) }
            }
        }
    });
    quote! { #kind #(#routes)* #join #retry #timeout #queue #undo #failed #(#reads)* }
}

fn kind(step: &Step, key: &str) -> TokenStream {
    match &step.kind {
        Kind::Task(call) => {
            let path = &call.path;
            quote_spanned! {step.key.span()=> ::mainstay_workflow::typed::task_node::<#path>(#key) }
        }
        Kind::Wait { signals, after } => {
            let signals = signals.iter().map(|Signal { name, event, .. }| {
                let (name, event) = (text(name), text(event));
                quote! { .signal(#name, #event) }
            });
            let expires = after.as_ref().map(|(time, event)| {
                let (time, event) = (duration(*time), text(event));
                quote! { .expires(#time, #event) }
            });
            quote! { ::mainstay_workflow::Node::wait(#key) #(#signals)* #expires }
        }
        Kind::Timer(time) => {
            let (time, event) = (duration(*time), step.only_event("Passed"));
            quote! { ::mainstay_workflow::Node::timer(#key, #time, #event) }
        }
        Kind::Map { each, limit, need, .. } => {
            let (event, path) = (step.only_event("Mapped"), &each.path);
            let limit = limit.map(|limit| quote! { .limit(#limit) });
            let need = need.map(|need| quote! { .need(::mainstay_workflow::Need::AtLeast(#need)) });
            quote! { ::mainstay_workflow::typed::map_node::<#path>(#key).mapped(#event) #limit #need }
        }
        Kind::Child { flow, .. } => {
            let event = step.only_event("Completed");
            quote! {
                ::mainstay_workflow::Node::child(#key, <#flow as ::mainstay_workflow::typed::TypedWorkflow>::NAME)
                    .completed(#event)
            }
        }
        Kind::Done => quote! { ::mainstay_workflow::Node::done(#key) },
    }
}
