//! Pure decisions of a login.

use std::borrow::Cow;

use mainstay_core::Timestamp;
use mainstay_saml::{RelayState, Trust, check_return_path};

use crate::ids::ConnectionId;
use crate::refusal::SignInRefusal;
use crate::store::intents::StoredIntent;

/// What our handles begin with. Whatever begins so must have its intent.
const HANDLE_PREFIX: &str = "rs_";

/// Which flow an answer belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// It answers a request, whose intent has this handle.
    Answer(RelayState),
    /// Nothing was asked; the user goes to this path.
    Unsolicited(String),
}

/// Tells the flow. `answers_request` is asked only when there is no handle of ours.
pub(crate) fn route<E>(
    relay_state: Option<&str>,
    answers_request: impl FnOnce() -> Result<bool, E>,
) -> Result<Result<Route, SignInRefusal>, E> {
    let text = relay_state.unwrap_or_default();
    if let Some(handle) = RelayState::parse(text) {
        return Ok(Ok(Route::Answer(handle)));
    }
    if text.starts_with(HANDLE_PREFIX) {
        return Ok(Err(SignInRefusal::RelayStateInvalid));
    }
    if answers_request()? {
        let missing = text.is_empty();
        let refusal =
            if missing { SignInRefusal::RelayStateMissing } else { SignInRefusal::RelayStateInvalid };
        return Ok(Err(refusal));
    }
    let path = check_return_path(text).unwrap_or("/");
    Ok(Ok(Route::Unsolicited(path.to_owned())))
}

/// Why an intent does not fit a login, if it does not.
pub(crate) fn intent_refusal(
    intent: Option<&StoredIntent>,
    connection: Option<ConnectionId>,
    browser_hash: Option<&[u8]>,
) -> Option<SignInRefusal> {
    let Some(intent) = intent else { return Some(SignInRefusal::IntentNotFound) };
    if connection.is_some_and(|connection| connection != intent.connection) {
        return Some(SignInRefusal::IntentOtherConnection);
    }
    let Some(browser_hash) = browser_hash else { return Some(SignInRefusal::BrowserBindingMissing) };
    if browser_hash != intent.browser_hash {
        return Some(SignInRefusal::IntentOtherBrowser);
    }
    if intent.consumed {
        return Some(SignInRefusal::IntentConsumed);
    }
    intent.expired.then_some(SignInRefusal::IntentExpired)
}

/// What one login must meet: a fresh authentication that was asked for must not be older than the request.
pub(crate) fn trust_for<'a>(
    trust: &'a Trust,
    intent: Option<&StoredIntent>,
    now: Timestamp,
) -> Cow<'a, Trust> {
    let Some(intent) = intent.filter(|intent| intent.force_authn) else { return Cow::Borrowed(trust) };
    let age = now.saturating_since(intent.issued_at);
    let mut trust = trust.clone();
    trust.policy.max_authn_age = Some(trust.policy.max_authn_age.map_or(age, |most| most.min(age)));
    Cow::Owned(trust)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::FixedClock;
    use std::time::Duration;

    fn intent() -> StoredIntent {
        StoredIntent {
            request_id: "id".into(),
            connection: ConnectionId::generate(&FixedClock::at(Timestamp::UNIX_EPOCH)),
            browser_hash: vec![1],
            return_path: "/".into(),
            force_authn: false,
            issued_at: Timestamp::UNIX_EPOCH,
            consumed: false,
            expired: false,
        }
    }

    #[track_caller]
    fn check_route(relay_state: Option<&str>, answers: bool, expected: &Result<Route, SignInRefusal>) {
        let result = route::<()>(relay_state, || Ok(answers)).unwrap();
        assert_eq!(&result, expected);
    }

    #[test]
    fn a_handle_needs_its_intent_and_anything_else_is_unsolicited() {
        let handle = RelayState::from_random(&[7; 16]);
        check_route(Some(handle.as_str()), false, &Ok(Route::Answer(handle.clone())));
        check_route(Some("rs_short"), false, &Err(SignInRefusal::RelayStateInvalid));
        check_route(None, true, &Err(SignInRefusal::RelayStateMissing));
        check_route(Some(""), true, &Err(SignInRefusal::RelayStateMissing));
        check_route(Some("/inbox"), true, &Err(SignInRefusal::RelayStateInvalid));
        check_route(None, false, &Ok(Route::Unsolicited("/".into())));
        check_route(Some("/inbox"), false, &Ok(Route::Unsolicited("/inbox".into())));
        check_route(Some("https://evil.example"), false, &Ok(Route::Unsolicited("/".into())));
        check_route(Some("//evil.example"), false, &Ok(Route::Unsolicited("/".into())));
    }

    #[test]
    fn each_misfit_of_an_intent_has_its_name() {
        let fits = intent();
        let here = Some(fits.connection);
        assert_eq!(intent_refusal(Some(&fits), here, Some(&[1])), None);
        assert_eq!(intent_refusal(Some(&fits), None, Some(&[1])), None);
        let other = Some(intent().connection);
        for (intent, connection, browser, expected) in [
            (None, here, Some(&[1][..]), SignInRefusal::IntentNotFound),
            (Some(fits.clone()), other, Some(&[1][..]), SignInRefusal::IntentOtherConnection),
            (Some(fits.clone()), here, None, SignInRefusal::BrowserBindingMissing),
            (Some(fits.clone()), here, Some(&[2][..]), SignInRefusal::IntentOtherBrowser),
            (
                Some(StoredIntent { consumed: true, expired: true, ..fits.clone() }),
                here,
                Some(&[1][..]),
                SignInRefusal::IntentConsumed,
            ),
            (
                Some(StoredIntent { expired: true, ..fits }),
                here,
                Some(&[1][..]),
                SignInRefusal::IntentExpired,
            ),
        ] {
            assert_eq!(intent_refusal(intent.as_ref(), connection, browser), Some(expected));
        }
    }

    #[test]
    fn a_forced_authentication_is_no_older_than_its_request() {
        let trust = Trust {
            entity_id: String::new(),
            sso_url: String::new(),
            certificates: Vec::new(),
            policy: mainstay_saml::Policy::default(),
        };
        let now = Timestamp::UNIX_EPOCH.saturating_add(Duration::from_secs(20));
        assert_eq!(trust_for(&trust, Some(&intent()), now).policy.max_authn_age, None);
        let forced = StoredIntent { force_authn: true, ..intent() };
        assert_eq!(trust_for(&trust, Some(&forced), now).policy.max_authn_age, Some(Duration::from_secs(20)));
    }
}
