//! The ordered list of checks.

use super::structure::{self, Envelope};
use super::{ResponseInput, assertion, shell};
use crate::binding::post;
use crate::dsig::{self, SignedKind, SignedOctets, Signers};
use crate::login::{Login, Warning};
use crate::policy::SignatureRequirement;
use crate::refusal::{Fail, Refusal};
use crate::trace::{Check, Trace};
use crate::xml::{self, Limits, Node};

/// A check that failed.
pub(super) type Failed = (Check, Fail);

/// Enters the outcome of a check that passed, or leaves with the one that failed.
pub(super) fn enter<T>(trace: &mut Trace, check: Check, result: Result<T, Fail>) -> Result<T, Failed> {
    match result {
        Ok(value) => {
            trace.passed(check);
            Ok(value)
        }
        Err(fail) => Err((check, fail)),
    }
}

/// Like [`enter`], for a check that compares with a configured value, which the trace then shows.
pub(super) fn enter_equal(
    trace: &mut Trace,
    check: Check,
    expected: &str,
    result: Result<(), Fail>,
) -> Result<(), Failed> {
    match result {
        Ok(()) => {
            trace.passed_with(check, expected, expected);
            Ok(())
        }
        Err(fail) => Err((check, fail)),
    }
}

pub(super) fn decide(input: &ResponseInput<'_>, trace: &mut Trace) -> Result<Login, Failed> {
    let bytes = enter(trace, Check::Decode, post::decode(input.saml_response))?;
    let parsed = xml::decode(&bytes, &Limits::MESSAGE).and_then(|text| xml::parse(text, &Limits::MESSAGE));
    let document = enter(trace, Check::Parse, parsed)?;
    let root = document.root_element();
    enter(trace, Check::Root, structure::check_root(root))?;
    enter(trace, Check::Status, shell::check_status(root))?;
    let envelope = enter(trace, Check::Structure, structure::locate(root))?;
    // Whatever an unverified value contradicts is refused before any cryptography is spent on it.
    enter(trace, Check::IssuerHint, shell::check_issuer(root, &input.trust.entity_id))?;
    enter(trace, Check::SignaturePolicy, check_requirement(&envelope, input.trust.policy.signatures))?;
    let mut warnings = Vec::new();
    let (response, assertion) = verify_all(&envelope, input, trace, &mut warnings)?;
    let signatures =
        [&response, &assertion].into_iter().flatten().map(|signed| *signed.signed_by()).collect();
    let mut login = match (&response, &assertion) {
        (Some(signed), _) => read_response(signed, input, trace, &mut warnings)?,
        (None, Some(signed)) => {
            read_assertion(signed, root, envelope.response_id, input, trace, &mut warnings)?
        }
        (None, None) => return Err((Check::SignaturePolicy, Refusal::SignatureMissing.into())),
    };
    login.signatures = signatures;
    login.warnings = warnings;
    Ok(login)
}

fn check_requirement(envelope: &Envelope<'_>, requirement: SignatureRequirement) -> Result<(), Fail> {
    use SignatureRequirement as R;
    let (response, assertion) =
        (envelope.response_signature.is_some(), envelope.assertion_signature.is_some());
    if !response && !assertion {
        return Err(Refusal::SignatureMissing.into());
    }
    if !response && matches!(requirement, R::Response | R::Both) {
        return Err(Refusal::ResponseSignatureMissing.into());
    }
    if !assertion && matches!(requirement, R::Assertion | R::Both) {
        return Err(Refusal::AssertionSignatureMissing.into());
    }
    Ok(())
}

type Verified = (Option<SignedOctets>, Option<SignedOctets>);

/// Every signature that is there must verify, whatever the policy requires.
fn verify_all(
    envelope: &Envelope<'_>,
    input: &ResponseInput<'_>,
    trace: &mut Trace,
    warnings: &mut Vec<Warning>,
) -> Result<Verified, Failed> {
    let signers = Signers {
        certificates: &input.trust.certificates,
        policy: &input.trust.policy,
        now: input.now,
        limit: crate::MAX_CANONICAL_BYTES,
    };
    let mut verify = |check, element, signature: Option<Node<'_>>, id, kind| match signature {
        Some(signature) => {
            let verified = dsig::verify(element, signature, id, kind, &signers, warnings);
            let signed = verified.map_err(|fail| (check, fail))?;
            let fingerprint = signed.signed_by().fingerprint.to_string();
            trace.passed_with(check, &fingerprint, &signed.signed_by().algorithm.to_string());
            Ok(Some(signed))
        }
        None => {
            trace.skipped(check);
            Ok(None)
        }
    };
    let response = verify(
        Check::ResponseSignature,
        envelope.response,
        envelope.response_signature,
        envelope.response_id,
        SignedKind::Response,
    )?;
    let assertion = verify(
        Check::AssertionSignature,
        envelope.assertion,
        envelope.assertion_signature,
        envelope.assertion_id,
        SignedKind::Assertion,
    )?;
    Ok((response, assertion))
}

fn parse_signed(signed: &SignedOctets) -> Result<roxmltree::Document<'_>, Fail> {
    xml::parse(xml::decode(signed.octets(), &Limits::CANONICAL)?, &Limits::CANONICAL)
}

/// The Response is signed: everything is read from its octets, the outside included.
fn read_response(
    signed: &SignedOctets,
    input: &ResponseInput<'_>,
    trace: &mut Trace,
    warnings: &mut Vec<Warning>,
) -> Result<Login, Failed> {
    let document = parse_signed(signed).map_err(|fail| (Check::ResponseSignature, fail))?;
    let root = document.root_element();
    let again = |fail| (Check::Structure, fail);
    structure::check_root(root).map_err(again)?;
    shell::check_status(root).map_err(again)?;
    let envelope = structure::locate(root).map_err(again)?;
    assertion::read(root, envelope.response_id, envelope.assertion, input, trace, warnings)
}

/// Only the Assertion is signed: its octets grant; the unsigned Response around it can only contradict.
fn read_assertion(
    signed: &SignedOctets,
    response: Node<'_>,
    response_id: &str,
    input: &ResponseInput<'_>,
    trace: &mut Trace,
    warnings: &mut Vec<Warning>,
) -> Result<Login, Failed> {
    let document = parse_signed(signed).map_err(|fail| (Check::AssertionSignature, fail))?;
    assertion::read(response, response_id, document.root_element(), input, trace, warnings)
}
