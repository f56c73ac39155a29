//! The code that a workflow becomes.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, Path, Type};

use super::check::text;
use super::reads::{INPUT, ITEM};
use super::tree::{Argument, Call, Flow, Join, Kind, Route, Signal, Step};
use crate::time::Time;

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

/// The graph, by the builder.
fn definition(flow: &Flow) -> TokenStream {
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
    let undo = step.undo.as_ref().map(|_| {
        let name = format!("{key}/undo");
        quote! { .compensate(#name) }
    });
    let failed = step.failed.as_ref().map(|event| {
        let event = text(event);
        quote! { .fails_with(#event) }
    });
    let reads = super::reads::reads(flow, step).into_iter().map(|(from, presence)| {
        use mainstay_workflow_graph::graph::Presence;
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
    quote! { #kind #(#routes)* #join #retry #timeout #undo #failed #(#reads)* }
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

/// Registers the code of a step.
fn handlers(flow: &Flow, step: &Step) -> TokenStream {
    let key = text(&step.key);
    let mut all = match &step.kind {
        Kind::Task(call) => {
            let (path, targets) = (&call.path, targets(step));
            let at = step.key.span();
            let register = quote_spanned! {at=> task::<#path, _> };
            let answer = match targets {
                Some(targets) => quote_spanned! {at=> ::mainstay_workflow::typed::chose(made, #targets) },
                None => quote_spanned! {at=> ::mainstay_workflow::typed::ended(made) },
            };
            Code { call, register: &register, answer: &answer, item: None }.registered(flow, &key)
        }
        Kind::Map { items, each, .. } => {
            let items_path = &items.path;
            let item = quote! {
                <<#items_path as ::mainstay_workflow::typed::Step>::Output as ::mainstay_workflow::typed::List>::Item
            };
            let plain = quote! { plain };
            let (listed, made) = (typed("listed"), typed("made"));
            let list = Code { call: items, register: &plain, answer: &listed, item: None };
            let each_item = Code { call: each, register: &plain, answer: &made, item: Some(&item) };
            let list = list.registered(flow, &format!("{key}/items"));
            let one = each_item.registered(flow, &format!("{key}/item"));
            let checks =
                [plain_check(items, "the list of a map's items"), plain_check(each, "an item of a map")];
            quote! { #list #one #(#checks)* }
        }
        Kind::Child { flow: child, input } => {
            let made = quote! { ::mainstay_workflow::typed::child::<#child>(&made) };
            match input {
                Some(call) => Code { call, register: &quote! { plain }, answer: &made, item: None }
                    .registered(flow, &key),
                None => {
                    let input = &flow.input;
                    quote! {
                        let handlers = ::mainstay_workflow::typed::plain(handlers, #key, |cx, _| ::std::boxed::Box::pin(async move {
                            let made: #input = cx.input_as()?;
                            #made
                        }));
                    }
                }
            }
        }
        Kind::Wait { .. } | Kind::Timer(_) | Kind::Done => TokenStream::new(),
    };
    if let Some(undo) = &step.undo {
        let (register, answer) = (quote! { plain }, typed("undone"));
        let code = Code { call: undo, register: &register, answer: &answer, item: None };
        all.extend(code.registered(flow, &format!("{key}/undo")));
        all.extend(plain_check(undo, "a compensation"));
    }
    all
}

/// The last word of a path.
fn path_span(path: &Path) -> Span {
    path.segments.last().map_or_else(Span::call_site, |last| last.ident.span())
}

/// What does not commit together with its result must not say that it does.
fn plain_check(call: &Call, what: &str) -> TokenStream {
    let path = &call.path;
    quote_spanned! {path_span(path)=> const _: () = ::mainstay_workflow::typed::is_plain::<#path>(#what); }
}

/// What was made goes through a function of `typed`.
fn typed(function: &str) -> TokenStream {
    let function = Ident::new(function, Span::call_site());
    quote! { ::mainstay_workflow::typed::#function(&made) }
}

/// A function that a run calls.
struct Code<'a> {
    call: &'a Call,
    /// How it is registered.
    register: &'a TokenStream,
    /// What becomes of what it returns.
    answer: &'a TokenStream,
    /// The type of the item that it is given, if it is run for one.
    item: Option<&'a TokenStream>,
}

impl Code<'_> {
    fn registered(&self, flow: &Flow, name: &str) -> TokenStream {
        let Self { call, register, answer, item } = self;
        let (reads, passed) = reads(flow, call, *item);
        let path = &call.path;
        let called = quote_spanned! {path_span(path)=> #path::__run(&cx, tx, #(#passed),*) };
        quote! {
            let handlers = ::mainstay_workflow::typed::#register(handlers, #name, |cx, tx| {
                ::std::boxed::Box::pin(async move {
                    #reads
                    let made = #called.await?;
                    #answer
                })
            });
        }
    }
}

/// From what a step chooses to the keys of the steps that it means; none when no route leaves a choice.
fn targets(step: &Step) -> Option<TokenStream> {
    let chosen: Vec<TokenStream> = step
        .routes
        .iter()
        .filter_map(|Route { event, targets, choice }| {
            let choice = choice.as_ref()?;
            let (event, ty) = (text(event), &choice.ty);
            let arms = choice.variants.iter().zip(targets).map(|(variant, target)| {
                let key = text(target);
                quote_spanned! {variant.span()=> #ty::#variant => #key, }
            });
            let chosen = quote_spanned! {path_span(ty)=> match target { #(#arms)* } };
            Some(quote! { #event => ::core::option::Option::Some(#chosen), })
        })
        .collect();
    if chosen.is_empty() {
        return None;
    }
    Some(quote! { |event, target| match event { #(#chosen)* _ => ::core::option::Option::None } })
}

/// What comes before a call, and what is passed.
fn reads(flow: &Flow, call: &Call, item: Option<&TokenStream>) -> (TokenStream, Vec<TokenStream>) {
    let mut before = TokenStream::new();
    let mut passed = Vec::new();
    for (at, argument) in call.arguments.iter().enumerate() {
        let name = format_ident!("read{at}", span = argument.from.span());
        let (value, always) = read(flow, argument, item);
        let key = text(&argument.from);
        if always {
            before.extend(quote! { let #name = #value; });
            passed.push(quote_spanned! {argument.from.span()=> &#name });
        } else if argument.optional {
            before.extend(quote! { let #name = #value; });
            passed.push(quote_spanned! {argument.from.span()=> #name.as_ref() });
        } else {
            before.extend(quote! { let #name = ::mainstay_workflow::typed::there(&cx, #key, #value)?; });
            passed.push(quote_spanned! {argument.from.span()=> &#name });
        }
    }
    (before, passed)
}

/// The value of an argument, and whether it is there in any case; otherwise it is an `Option`.
fn read(flow: &Flow, argument: &Argument, item: Option<&TokenStream>) -> (TokenStream, bool) {
    let Argument { from, event, .. } = argument;
    let key = text(from);
    if key == INPUT {
        let input: &Type = &flow.input;
        return (quote! { cx.input_as::<#input>()? }, true);
    }
    if key == ITEM {
        return (quote! { cx.item_as::<#item>()? }, true);
    }
    let typed = quote! { ::mainstay_workflow::typed };
    let value = match flow.step(&key).map(|step| &step.kind) {
        Some(Kind::Task(call)) => {
            let path = &call.path;
            let declared = quote! { <<#path as #typed::Step>::Output as #typed::Ending>::Event };
            match event {
                None => quote! { #typed::event::<#declared>(&cx, #key)? },
                Some(event) => {
                    let take = format_ident!("__said_with_{event}", span = event.span());
                    quote! { #typed::event::<#declared>(&cx, #key)?.and_then(<#declared>::#take) }
                }
            }
        }
        Some(Kind::Wait { signals, .. }) => {
            let signal = signals.iter().find(|signal| Some(&signal.event) == event.as_ref());
            let payload = signal.and_then(|signal| signal.payload.as_ref());
            let event = event.as_ref().map(text);
            quote! { #typed::came_with::<#payload>(&cx, #key, #event)? }
        }
        Some(Kind::Map { each, need, .. }) => {
            let path = &each.path;
            let made = quote! { <#path as #typed::Step>::Output };
            if need.is_some() {
                quote! { #typed::some_items::<#made>(&cx, #key)? }
            } else {
                quote! { #typed::all_items::<#made>(&cx, #key)? }
            }
        }
        _ => quote! { cx.output_as(#key)? },
    };
    (value, false)
}
