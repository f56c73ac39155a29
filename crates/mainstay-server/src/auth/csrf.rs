//! Form tokens: derived from the session's secret, so that nothing is stored and no other site can know them.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_sso::SessionToken;

use crate::problem::{Problem, ProblemKind};

/// Separates this use of the secret from any other.
const PURPOSE: &[u8] = b"mainstay form token, version 1";

/// The token for the forms of a session.
pub(crate) fn token(session: &SessionToken) -> String {
    URL_SAFE_NO_PAD.encode(hmac::sign(&key(session), PURPOSE))
}

/// Refuses a form that was not made for the session; takes the same time wherever the tokens differ.
pub(crate) fn check(session: &SessionToken, given: &str) -> Result<(), Problem> {
    let good =
        URL_SAFE_NO_PAD.decode(given).is_ok_and(|tag| hmac::verify(&key(session), PURPOSE, &tag).is_ok());
    if good {
        return Ok(());
    }
    metrics::counter!("mainstay_http_refused_total", "reason" => "form_token").increment(1);
    Err(Problem::new(ProblemKind::StaleForm, "Open the page again and repeat."))
}

fn key(session: &SessionToken) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, session.expose().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_token_is_bound_to_its_session() {
        let session = |letter: &str| SessionToken::parse(&format!("st_{}", letter.repeat(42) + "A")).unwrap();
        let (one, two) = (session("A"), session("B"));
        assert!(check(&one, &token(&one)).is_ok());
        for wrong in [token(&two), String::new(), "!".to_owned(), token(&one)[1..].to_owned()] {
            assert_eq!(check(&one, &wrong).unwrap_err().kind(), ProblemKind::StaleForm);
        }
    }
}
