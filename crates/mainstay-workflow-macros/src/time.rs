//! Durations as they are written, such as `30s`, and retry policies.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitInt, Result, Token};

/// A duration: a number with a unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    pub(crate) ms: u64,
    pub(crate) at: Span,
}

impl Parse for Time {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        const UNITS: &str = "a time is a whole number with a unit: ms, s, min, h or d, such as 30s";
        let number: LitInt = input.parse().map_err(|error| Error::new(error.span(), UNITS))?;
        let unit: u64 = match number.suffix() {
            "ms" => 1,
            "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(Error::new(number.span(), UNITS)),
        };
        let ms = number.base10_parse::<u64>()?.checked_mul(unit);
        let ms = ms.ok_or_else(|| Error::new(number.span(), "the time is too long"))?;
        Ok(Self { ms, at: number.span() })
    }
}

/// How often a step is tried.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) attempts: u32,
    pub(crate) pauses: Option<Pauses>,
    jitter: Option<u8>,
    losses: Option<u32>,
}

/// The pauses between attempts.
#[derive(Debug, Clone)]
pub(crate) struct Pauses {
    growth: &'static str,
    base_ms: u64,
    max_ms: u64,
}

impl Parse for Policy {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(Ident) {
            let word: Ident = input.parse()?;
            if word == "never" {
                let mut policy = Self { attempts: 1, pauses: None, jitter: None, losses: None };
                policy.rest(input)?;
                return Ok(policy);
            }
            return Err(Error::new(word.span(), "write `never` or the number of attempts"));
        }
        let number: LitInt = input.parse()?;
        let attempts = number.base10_parse::<u32>()?;
        if attempts == 0 || !number.suffix().is_empty() {
            return Err(Error::new(number.span(), "the number of attempts is a whole number of at least 1"));
        }
        let is_pause = |word: &Ident| word != "jitter" && word != "losses";
        let pauses = match input.fork().parse::<Ident>() {
            Ok(word) if is_pause(&word) => Some(input.parse()?),
            _ => None,
        };
        let mut policy = Self { attempts, pauses, jitter: None, losses: None };
        policy.rest(input)?;
        Ok(policy)
    }
}

impl Parse for Pauses {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let word: Ident = input.parse()?;
        let growth = match word.to_string().as_str() {
            "exponential" => "Exponential",
            "linear" => "Linear",
            "constant" => "Constant",
            _ => return Err(Error::new(word.span(), "pauses are `exponential`, `linear` or `constant`")),
        };
        let base: Time = input.parse()?;
        let mut max = base;
        if input.peek(Token![..]) {
            input.parse::<Token![..]>()?;
            max = input.parse()?;
        }
        if max.ms < base.ms {
            return Err(Error::new(max.at, "the longest pause is shorter than the first one"));
        }
        Ok(Self { growth, base_ms: base.ms, max_ms: max.ms })
    }
}

impl Policy {
    /// Reads `jitter 20` and `losses 3`, in any order.
    fn rest(&mut self, input: ParseStream<'_>) -> Result<()> {
        const WORDS: &str = "after the pauses come `jitter` with a percentage and `losses` with a number";
        while input.peek(Ident) {
            let word: Ident = input.parse()?;
            let number: LitInt = input.parse().map_err(|error| Error::new(error.span(), WORDS))?;
            let value = number.base10_parse::<u32>()?;
            match word.to_string().as_str() {
                "jitter" => match u8::try_from(value) {
                    Ok(percent @ 0..=100) => self.jitter = Some(percent),
                    _ => return Err(Error::new(number.span(), "the jitter is a percentage: 0 to 100")),
                },
                "losses" if value > 0 => self.losses = Some(value),
                "losses" => {
                    return Err(Error::new(
                        number.span(),
                        "at least one attempt may be lost with its node: write a number of at least 1",
                    ));
                }
                _ => return Err(Error::new(word.span(), WORDS)),
            }
        }
        Ok(())
    }

    /// The policy as an expression that is constant.
    pub(crate) fn expression(&self) -> TokenStream {
        let attempts = self.attempts;
        let pauses = self.pauses.as_ref().map(|Pauses { growth, base_ms, max_ms }| {
            let growth = Ident::new(growth, Span::call_site());
            quote! { backoff: ::mainstay_workflow::graph::Backoff::#growth, base_ms: #base_ms, max_ms: #max_ms, }
        });
        let jitter = self.jitter.map(|percent| quote! { jitter_percent: #percent, });
        let losses = self.losses.map(|most| quote! { max_losses: #most, });
        let is_whole = pauses.is_some() && jitter.is_some() && losses.is_some();
        let rest = (!is_whole).then(|| quote! { ..::mainstay_workflow::Retry::DEFAULT });
        quote! {
            ::mainstay_workflow::Retry { max_attempts: #attempts, #pauses #jitter #losses #rest }
        }
    }
}
