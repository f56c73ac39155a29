//! The code of the steps: what each function is passed, how it is registered, what becomes of what it returns.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, Path, Type};

use crate::workflow::check::text;
use crate::workflow::reads::{INPUT, ITEM};
use crate::workflow::tree::{Argument, Call, Flow, Kind, Route, Step};

/// Registers the code of a step.
pub(super) fn handlers(flow: &Flow, step: &Step) -> TokenStream {
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
