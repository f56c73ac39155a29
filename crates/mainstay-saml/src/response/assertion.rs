//! The checks of the Web Browser SSO profile (SAML profiles 4.1.4.2 and 4.1.4.3), in order.

use mainstay_core::Timestamp;

use super::decide::{Failed, enter, enter_equal};
use super::structure::check_version;
use super::{ResponseInput, conditions, shell, statements, subject};
use crate::login::{Login, Warning, replay_key};
use crate::refusal::{Fail, Refusal};
use crate::trace::{Check, Trace};
use crate::xml::{Node, attribute, is, names};

/// Checks the outside (`response`) and the signed `assertion`, and reads the login from the latter.
pub(super) fn read(
    response: Node<'_>,
    response_id: &str,
    assertion: Node<'_>,
    input: &ResponseInput<'_>,
    trace: &mut Trace,
    warnings: &mut Vec<Warning>,
) -> Result<Login, Failed> {
    let trust = input.trust;
    let issuer = &trust.entity_id;
    enter_equal(trace, Check::Issuer, issuer, shell::check_issuer(response, issuer))?;
    enter_equal(trace, Check::Destination, &input.sp.acs_url, shell::check_destination(response, input))?;
    let answered = input.expected_request_id.unwrap_or("none");
    enter_equal(trace, Check::InResponseTo, answered, shell::check_in_response_to(response, input))?;
    let instants = shell::check_issue_instant(response, input)
        .and_then(|()| shell::check_issue_instant(assertion, input));
    enter(trace, Check::IssueInstant, instants)?;
    enter_equal(trace, Check::AssertionIssuer, issuer, check_assertion_issuer(assertion, issuer))?;
    let named = subject::find(assertion).and_then(|subject| Ok((subject, subject::name_id(subject, input)?)));
    let (subject, name_id) = enter(trace, Check::NameId, named)?;
    let confirmed = enter(trace, Check::SubjectConfirmation, subject::confirm(subject, input))?;
    let expiry = enter(trace, Check::Conditions, conditions::check(assertion, input))?;
    enter_equal(trace, Check::Audience, &input.sp.entity_id, conditions::check_audience(assertion, input))?;
    let authn = enter(trace, Check::AuthnStatement, statements::authn(assertion, input))?;
    enter(trace, Check::Session, authn.check_session(input))?;
    let attributes = enter(trace, Check::Attributes, statements::attributes(assertion, input, warnings))?;
    let assertion_id = attribute(assertion, "ID").unwrap_or("");
    Ok(Login {
        name_id,
        session_index: authn.session_index.map(str::to_owned),
        session_not_on_or_after: authn.session_not_on_or_after,
        authn_instant: authn.instant,
        authn_context: authn.context,
        attributes,
        issuer: issuer.clone(),
        assertion_id: assertion_id.to_owned(),
        response_id: response_id.to_owned(),
        in_response_to: input.expected_request_id.map(str::to_owned),
        replay_key: replay_key(issuer, assertion_id),
        replay_until: replay_until(confirmed, expiry, input),
        signatures: Vec::new(),
        warnings: Vec::new(),
        trace: Trace::default(),
    })
}

fn check_assertion_issuer(assertion: Node<'_>, expected: &str) -> Result<(), Fail> {
    if !is(assertion, names::ASSERTION, "Assertion") {
        return Err(Refusal::AssertionMissing.into());
    }
    check_version(assertion)?;
    if attribute(assertion, "ID").is_none_or(str::is_empty) {
        return Err(Refusal::IdMissing.into());
    }
    let issuer = shell::issuer_of(assertion, Refusal::AssertionIssuerMissing)?
        .ok_or_else(|| Refusal::AssertionIssuerMissing.expecting(expected))?;
    shell::equal(Refusal::AssertionIssuerMismatch, expected, &issuer)
}

/// The last instant at which this Assertion could be accepted again, with the skew.
fn replay_until(confirmed: Timestamp, expiry: Option<Timestamp>, input: &ResponseInput<'_>) -> Timestamp {
    expiry.map_or(confirmed, |expiry| expiry.min(confirmed)).saturating_add(input.trust.policy.skew())
}
