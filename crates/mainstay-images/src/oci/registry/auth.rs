//! Who we are to a registry: credentials, the challenge that asks for them, the token that they buy.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use mainstay_core::Secret;
use serde::Deserialize;

use crate::oci::error::{Error, ErrorKind, Result};
use crate::oci::refusal::shown;

/// The most challenges that are read of one answer.
const MAX_CHALLENGES: usize = 8;
/// How long a token holds when its issuer does not say, by the specification of Docker's token service.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// What a registry is told when it asks who we are. They go only to the registry, and to the token service that it names.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// Nobody.
    #[default]
    Anonymous,
    /// A name and its password, or a robot's token.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret<String>,
    },
    /// A token that the registry takes as it is.
    Token(Secret<String>),
    /// What a login left instead of a password (OAuth's refresh token; `identitytoken` in Docker's configuration): the token service
    /// gives a token for it.
    Identity(Secret<String>),
}

impl Credentials {
    /// The header's value, for basic authentication.
    pub(crate) fn basic(&self) -> Option<Secret<String>> {
        match self {
            Self::Password { user, password } => {
                let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
                Some(Secret::new(format!("Basic {pair}")))
            }
            Self::Anonymous | Self::Token(_) | Self::Identity(_) => None,
        }
    }
}

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// A token service's answer.
#[derive(Deserialize)]
struct Answer {
    token: Option<Secret<String>>,
    access_token: Option<Secret<String>>,
    expires_in: Option<u64>,
}

/// A token, and how long it holds.
pub(crate) struct Token {
    pub(crate) header: Secret<String>,
    pub(crate) lifetime: Duration,
}

impl Token {
    /// Reads the answer of a token service.
    pub(crate) fn parse(body: &[u8]) -> Result<Self> {
        let wrong =
            || Error::new(ErrorKind::Registry, "the registry's token service answers without a token");
        let answer: Answer = serde_json::from_slice(body).map_err(|_| wrong())?;
        let token = answer.token.or(answer.access_token).ok_or_else(wrong)?;
        let visible = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic());
        if !visible(token.expose()) {
            return Err(wrong());
        }
        let header = Secret::new(format!("Bearer {}", token.expose()));
        Ok(Self { header, lifetime: answer.expires_in.map_or(DEFAULT_LIFETIME, Duration::from_secs) })
    }
}

impl Challenge {
    /// The challenge that we can meet best: a token before a password.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().take(MAX_CHALLENGES);
        let found: Vec<Self> = texts.filter_map(|text| Self::parse(text.to_str().ok()?)).collect();
        let bearer = found.iter().find(|challenge| matches!(challenge, Self::Bearer { .. }));
        bearer.or(found.first()).cloned().ok_or_else(|| {
            let text = "the registry wants credentials in a way that is not known; only Basic and Bearer are";
            Error::new(ErrorKind::Registry, text)
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        let mut rest = rest.trim_start();
        while !rest.is_empty() {
            let (key, value, after) = parameter(rest)?;
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
            rest = after.trim_start().trim_start_matches(',').trim_start();
        }
        Some(Self::Bearer { realm: realm?, service, scope })
    }
}

/// One `key="value"`, and what comes after it.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (key, rest) = text.split_once('=')?;
    let Some(quoted) = rest.trim_start().strip_prefix('"') else {
        let end = rest.find([',', ' ']).unwrap_or(rest.len());
        let (value, after) = rest.split_at_checked(end)?;
        return Some((key.trim(), value.to_owned(), after));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((key.trim(), value, quoted.get(at + 1..)?)),
            '\\' => value.push(letters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// The registry does not let us in.
pub(crate) fn refused(registry: &str, repository: &str, credentials: &Credentials) -> Error {
    let mend = match credentials {
        Credentials::Anonymous => "give credentials",
        Credentials::Identity(_) => "log in anew: what the login left holds no more, or not for this",
        Credentials::Password { .. } | Credentials::Token(_) => {
            "check the credentials, and that they may do this in the repository"
        }
    };
    let text = format!("{} does not let us in to {}; {mend}", shown(registry), shown(repository));
    Error::new(ErrorKind::Unauthorized, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(texts: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, text.parse().unwrap());
        }
        Challenge::of(&headers).ok()
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) })
    }

    #[test]
    fn challenges_are_read() {
        assert_eq!(challenge(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        let text =
            r#"Bearer realm="https://a/t",service="r.example",scope="repository:a/b:pull,push",error="x""#;
        let expected = bearer("https://a/t", Some("r.example"), Some("repository:a/b:pull,push"));
        assert_eq!(challenge(&["Basic realm=\"x\"", text]), expected);
        assert_eq!(challenge(&[r#"bearer Realm = "a\"b\\", service=s"#]), bearer("a\"b\\", Some("s"), None));
        let after = |others: usize| [vec!["Negotiate"; others], vec!["Basic"]].concat();
        assert_eq!(challenge(&after(MAX_CHALLENGES - 1)), Some(Challenge::Basic));
        assert_eq!(challenge(&after(MAX_CHALLENGES)), None);
        for wrong in [&["Negotiate"][..], &["Bearer"], &["Bearer service=\"a\""], &["Bearer realm=\"a"], &[]]
        {
            assert_eq!(challenge(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn tokens_are_read_and_never_shown() {
        let token = Token::parse(br#"{"token":"abc","expires_in":300}"#).unwrap();
        assert_eq!((token.header.expose().as_str(), token.lifetime.as_secs()), ("Bearer abc", 300));
        let token = Token::parse(br#"{"access_token":"abc"}"#).unwrap();
        assert_eq!(token.lifetime, DEFAULT_LIFETIME);
        for wrong in ["{}", "[]", "", r#"{"token":""}"#, r#"{"token":"a\r\nHost: b"}"#] {
            assert!(Token::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let password = Secret::new("hunter2".to_owned());
        let credentials = Credentials::Password { user: "me".to_owned(), password };
        assert_eq!(credentials.basic().unwrap().expose(), "Basic bWU6aHVudGVyMg==");
        let shown = format!("{credentials:?} {}", refused("r", "a", &credentials));
        assert!(!shown.contains("hunter2") && !shown.contains("bWU6"), "{shown}");
    }
}
