//! Reads a workflow.

use proc_macro2::Group;
use serde_json::Value;
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, Error, ExprClosure, Ident, LitInt, LitStr, Path, Result, Token, Type, Visibility, braced,
    parenthesized,
};

use super::tree::{Argument, Call, Choice, Flow, Join, Kind, Route, Signal, Step, Unique};
use crate::step::at_least_one;

const SETTINGS: &str = "after the name come `input`, `unique`, `tags`, `metadata` and `deadline`, then the steps: \
                        `step`, `wait`, `timer`, `map`, `child` and `done`";

impl Parse for Flow {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility: Visibility = input.parse()?;
        input.parse::<Token![struct]>()?;
        let ident: Ident = input.parse()?;
        input.parse::<Token![=]>()?;
        let name: LitStr = input.parse()?;
        word(input, "version")?;
        let number: LitInt = input.parse()?;
        input.parse::<Token![;]>()?;
        let mut flow = Self {
            attributes,
            visibility,
            ident,
            name,
            version: number.base10_parse()?,
            version_at: number.span(),
            input: syn::parse_quote!(()),
            unique: None,
            tags: Vec::new(),
            metadata: Vec::new(),
            deadline: None,
            steps: Vec::new(),
        };
        while !input.is_empty() {
            let keyword: Ident = input.parse()?;
            if !flow.setting(&keyword, input)? {
                flow.steps.push(step(&keyword, input)?);
            }
        }
        Ok(flow)
    }
}

impl Flow {
    /// Reads a setting, if the keyword begins one.
    fn setting(&mut self, keyword: &Ident, input: ParseStream<'_>) -> Result<bool> {
        match keyword.to_string().as_str() {
            "input" => self.input = input.parse::<Type>()?,
            "unique" => self.unique = Some(unique(input)?),
            "tags" => {
                self.tags =
                    syn::punctuated::Punctuated::<LitStr, Token![,]>::parse_separated_nonempty(input)?
                        .into_iter()
                        .collect();
            }
            "metadata" => self.metadata = metadata(input)?,
            "deadline" => self.deadline = Some(at_least_one(input.parse()?, "the deadline")?),
            _ => return Ok(false),
        }
        input.parse::<Token![;]>()?;
        Ok(true)
    }
}

fn unique(input: ParseStream<'_>) -> Result<Unique> {
    let key: Ident = input.parse()?;
    let mut scope = "Workflow";
    if !input.peek(Token![=]) {
        word(input, "per")?;
        let per: Ident = input.parse()?;
        scope = match per.to_string().as_str() {
            "workflow" => "Workflow",
            "version" => "Version",
            "key" => "Global",
            _ => {
                return Err(Error::new(
                    per.span(),
                    "a business key is unique per `workflow`, per `version` or, over all workflows, per `key`",
                ));
            }
        };
    }
    input.parse::<Token![=]>()?;
    Ok(Unique { key, scope, value: input.parse::<ExprClosure>()? })
}

fn metadata(input: ParseStream<'_>) -> Result<Vec<(String, Value)>> {
    let group: Group = input.parse()?;
    let value: std::result::Result<Value, _> = serde_json::from_str(&group.to_string());
    match value {
        Ok(Value::Object(members)) => Ok(members.into_iter().collect()),
        Ok(_) => Err(Error::new(group.span(), "metadata is a JSON object: { \"team\": \"shop\" }")),
        Err(error) => Err(Error::new(group.span(), format!("metadata is a JSON object: {error}"))),
    }
}

fn step(keyword: &Ident, input: ParseStream<'_>) -> Result<Step> {
    match keyword.to_string().as_str() {
        "step" => task(input),
        "wait" => {
            let key = input.parse()?;
            body(key, Kind::Wait { signals: Vec::new(), after: None }, input)
        }
        "timer" => {
            let (key, time) = (input.parse()?, input.parse()?);
            body(key, Kind::Timer(at_least_one(time, "the time")?), input)
        }
        "map" => {
            let key = key_before_colon(input)?;
            let items: Call = input.parse()?;
            word(input, "each")?;
            body(key, Kind::Map { items, each: input.parse()?, limit: None, need: None }, input)
        }
        "child" => {
            let key = key_before_colon(input)?;
            let flow: Path = input.parse()?;
            let with = if input.peek(Ident) {
                word(input, "with")?;
                Some(input.parse()?)
            } else {
                None
            };
            body(key, Kind::Child { flow, input: with }, input)
        }
        "done" => {
            let step = blank(input.parse()?, Kind::Done);
            if input.peek(syn::token::Brace) {
                body(step.key, step.kind, input)
            } else {
                input.parse::<Token![;]>().map(|_| step)
            }
        }
        _ => Err(Error::new(keyword.span(), SETTINGS)),
    }
}

fn key_before_colon(input: ParseStream<'_>) -> Result<Ident> {
    let key = input.parse()?;
    input.parse::<Token![:]>()?;
    Ok(key)
}

/// `step charge(..)`, or `step again: charge(..)`.
fn task(input: ParseStream<'_>) -> Result<Step> {
    if input.peek(Ident) && input.peek2(Token![:]) && !input.peek2(Token![::]) {
        let key = key_before_colon(input)?;
        return body(key, Kind::Task(input.parse()?), input);
    }
    let call: Call = input.parse()?;
    let Some(key) = call.path.segments.last().map(|last| last.ident.clone()) else {
        return Err(input.error("the function of a step has a name"));
    };
    body(key, Kind::Task(call), input)
}

impl Parse for Call {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let path = input.call(Path::parse_mod_style)?;
        let inside;
        parenthesized!(inside in input);
        let arguments = inside.parse_terminated(Argument::parse, Token![,])?;
        Ok(Self { path, arguments: arguments.into_iter().collect() })
    }
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let from = input.parse()?;
        let mut event = None;
        if input.peek(Token![.]) {
            input.parse::<Token![.]>()?;
            event = Some(input.parse()?);
        }
        let optional = input.parse::<Option<Token![?]>>()?.is_some();
        Ok(Self { from, event, optional })
    }
}

fn blank(key: Ident, kind: Kind) -> Step {
    Step {
        key,
        kind,
        join: None,
        retry: None,
        timeout: None,
        queue: None,
        undo: None,
        failed: None,
        routes: Vec::new(),
    }
}

/// What stands in the braces of a step.
fn body(key: Ident, kind: Kind, input: ParseStream<'_>) -> Result<Step> {
    let mut step = blank(key, kind);
    let inside;
    braced!(inside in input);
    while !inside.is_empty() {
        if inside.peek(Ident) && inside.peek2(Token![->]) {
            let event = inside.parse()?;
            step.route(event, &inside)?;
        } else {
            let keyword: Ident = inside.parse()?;
            step.setting(&keyword, &inside)?;
        }
        inside.parse::<Token![;]>()?;
    }
    Ok(step)
}

impl Step {
    fn setting(&mut self, keyword: &Ident, input: ParseStream<'_>) -> Result<()> {
        match (keyword.to_string().as_str(), &mut self.kind) {
            ("join", _) => self.join = Some((join(input)?, keyword.span())),
            (
                "retry" | "timeout" | "queue" | "undo" | "failed",
                Kind::Wait { .. } | Kind::Timer(_) | Kind::Done,
            ) => {
                return Err(Error::new(keyword.span(), self.expected()));
            }
            ("timeout", Kind::Child { .. }) => {
                let text = "a child has no time-out: give its workflow a `deadline`, and route its failure with `failed`";
                return Err(Error::new(keyword.span(), text));
            }
            ("retry", _) => self.retry = Some((input.parse()?, keyword.span())),
            ("timeout", _) => {
                self.timeout = Some(at_least_one(input.parse()?, "the time-out of an attempt")?)
            }
            ("queue", _) => self.queue = Some(input.parse()?),
            ("undo", _) => self.undo = Some(input.parse()?),
            ("failed", _) => {
                let event: Ident = input.parse()?;
                self.failed = Some(event.clone());
                if input.peek(Token![->]) {
                    self.route(event, input)?;
                }
            }
            ("limit", Kind::Map { limit, .. }) => *limit = Some(number(input)?),
            ("need", Kind::Map { need, .. }) => *need = Some(number(input)?),
            ("signal", Kind::Wait { signals, .. }) => {
                let name = input.parse()?;
                let mut payload = None;
                if input.peek(syn::token::Paren) {
                    let inside;
                    parenthesized!(inside in input);
                    payload = Some(inside.parse()?);
                }
                input.parse::<Token![=>]>()?;
                let event: Ident = input.parse()?;
                signals.push(Signal { name, payload, event: event.clone() });
                self.route(event, input)?;
            }
            ("after", Kind::Wait { after, .. }) => {
                let time = at_least_one(input.parse()?, "the time-out")?;
                input.parse::<Token![=>]>()?;
                let event: Ident = input.parse()?;
                *after = Some((time, event.clone()));
                self.route(event, input)?;
            }
            _ => return Err(Error::new(keyword.span(), self.expected())),
        }
        Ok(())
    }

    fn expected(&self) -> &'static str {
        match self.kind {
            Kind::Wait { .. } => {
                "a wait has `signal name(Payload) => Event -> step;`, `after 3d => Event -> step;` and `join`"
            }
            Kind::Map { .. } => {
                "a map has routes (`Mapped -> step;`), `limit`, `need`, `retry`, `timeout`, `queue`, `undo`, `failed` and `join`"
            }
            Kind::Child { .. } => {
                "a child has routes (`Event -> step;`), `retry`, `queue`, `undo`, `failed` and `join`"
            }
            Kind::Task(_) => {
                "a step has routes (`Event -> step;`), `retry`, `timeout`, `queue`, `undo`, `failed` and `join`"
            }
            Kind::Timer(_) => "a timer has a route (`Event -> step;`) and `join`",
            Kind::Done => "the end of a path has nothing but `join`",
        }
    }

    /// Reads `-> a & b`, or `-> one Lane { Fast: a, Slow: b }`, or `-> some Lane { .. }`.
    fn route(&mut self, event: Ident, input: ParseStream<'_>) -> Result<()> {
        input.parse::<Token![->]>()?;
        let first: Ident = input.parse()?;
        if (first == "one" || first == "some") && input.peek(Ident) {
            let route = choice(event, first == "some", input)?;
            self.routes.push(route);
            return Ok(());
        }
        let mut targets = vec![first];
        while input.peek(Token![&]) {
            input.parse::<Token![&]>()?;
            targets.push(input.parse()?);
        }
        self.routes.push(Route { event, targets, choice: None });
        Ok(())
    }
}

fn choice(event: Ident, many: bool, input: ParseStream<'_>) -> Result<Route> {
    let ty = input.call(Path::parse_mod_style)?;
    let inside;
    braced!(inside in input);
    let arms = inside.parse_terminated(
        |input| {
            let variant: Ident = input.parse()?;
            input.parse::<Token![:]>()?;
            Ok((variant, input.parse::<Ident>()?))
        },
        Token![,],
    )?;
    let (variants, targets) = arms.into_iter().unzip();
    Ok(Route { event, targets, choice: Some(Choice { many, ty, variants }) })
}

fn join(input: ParseStream<'_>) -> Result<Join> {
    if input.peek(LitInt) {
        return Ok(Join::AtLeast(number(input)?));
    }
    let word: Ident = input.parse()?;
    match word.to_string().as_str() {
        "all" => Ok(Join::All),
        "any" => Ok(Join::Any),
        _ => Err(Error::new(
            word.span(),
            "a join waits for `all`, for `any`, or for a number of the edges that lead to the step",
        )),
    }
}

fn number(input: ParseStream<'_>) -> Result<u32> {
    input.parse::<LitInt>()?.base10_parse()
}

/// One certain word.
fn word(input: ParseStream<'_>, expected: &str) -> Result<()> {
    let found: Ident =
        input.parse().map_err(|error| Error::new(error.span(), format!("expected `{expected}`")))?;
    if found == expected { Ok(()) } else { Err(Error::new(found.span(), format!("expected `{expected}`"))) }
}
