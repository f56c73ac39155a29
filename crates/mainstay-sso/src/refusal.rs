//! Why a login was refused: one exact reason out of one list, the protocol's and the store's together.

use std::fmt;

use mainstay_core::Timestamp;
use mainstay_saml::Refusal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{ConnectionId, TraceId};

const RETRY: &str =
    "Let the user start the login again; if it repeats, look at the login traces of the same user.";
const ATTACK: &str = "Treat it as an attack until shown otherwise: keep the trace and ask who posted it.";
const SETUP: &str = "Open the connection in the console; what is missing is listed there.";

macro_rules! refusals {
    ($($name:ident $code:literal $status:literal: $meaning:literal; $cause:literal; $action:expr;)*) => {
        /// The exact reason why a login was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum SignInRefusal {
            /// The protocol refuses the message.
            Saml(Refusal),
            $(#[doc = $meaning] $name,)*
        }

        impl SignInRefusal {
            /// The reasons that are not the protocol's.
            pub const OWN: &'static [Self] = &[$(Self::$name,)*];

            /// The stable name for logs, interfaces and documents.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { Self::Saml(refusal) => refusal.code(), $(Self::$name => $code,)* }
            }

            /// What was wrong, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { Self::Saml(refusal) => refusal.meaning(), $(Self::$name => $meaning,)* }
            }

            /// What usually causes it.
            #[must_use]
            pub const fn likely_cause(self) -> &'static str {
                match self { Self::Saml(refusal) => refusal.likely_cause(), $(Self::$name => $cause,)* }
            }

            /// What an operator does next.
            #[must_use]
            pub const fn operator_action(self) -> &'static str {
                match self { Self::Saml(refusal) => refusal.operator_action(), $(Self::$name => $action,)* }
            }

            /// The HTTP status that a server answers with.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { Self::Saml(refusal) => refusal.http_status(), $(Self::$name => $status,)* }
            }
        }
    };
}

refusals! {
    ReturnPathInvalid "return_path_invalid" 400: "The return path is not a local absolute path."; "A link that was made to send users elsewhere after login."; "Correct the link: return paths begin with one slash and name no host.";
    RequestInvalid "request_invalid" 500: "No request can be built from the connection's settings."; "The identity provider's URL or a setting of the connection is wrong."; SETUP;
    ConnectionUnknown "connection_unknown" 400: "Neither the URL nor the RelayState names a connection."; "A login page without a connection, or a response posted to the wrong URL."; "Compare the assertion consumer URL at the identity provider with the connection's.";
    ConnectionNotFound "connection_not_found" 404: "There is no such connection."; "It was deleted, or the URL was mistyped."; "Look the connection's id up in the console and correct the link.";
    ConnectionDraft "connection_draft" 409: "The connection is still a draft."; "It was never enabled."; "Complete the connection and enable it.";
    ConnectionDisabled "connection_disabled" 403: "The connection is disabled."; "An operator switched it off."; "The audit says who did and why; enable it if that no longer holds.";
    ConnectionInvalid "connection_invalid" 500: "The stored connection cannot be used."; "An active certificate or the policy cannot be read by this version, or a required setting is empty."; SETUP;
    ConnectionChanged "connection_changed" 409: "The connection was changed during the login, more than once."; "Somebody is editing the connection at this moment."; RETRY;
    RelayStateMissing "relay_state_missing" 400: "The response answers a request but came without its RelayState."; "The identity provider or a proxy dropped the RelayState field."; "Check that the identity provider returns RelayState unchanged.";
    RelayStateInvalid "relay_state_invalid" 400: "The RelayState is not one of ours."; "The identity provider shortened or replaced it, or somebody made it up."; "Check that the identity provider returns RelayState unchanged.";
    IntentNotFound "intent_not_found" 400: "No login with this RelayState is waiting."; "The login began long ago and its record is gone, or the RelayState was made up."; RETRY;
    IntentExpired "intent_expired" 400: "The login took longer than it may."; "The user waited at the identity provider's page, or used a bookmark of it."; RETRY;
    IntentConsumed "intent_consumed" 409: "Another response has completed this login."; "The user pressed a button twice, or a second response was injected."; RETRY;
    IntentOtherConnection "intent_other_connection" 403: "The login began at another connection."; "A response of one tenant was posted to the URL of another."; ATTACK;
    BrowserBindingMissing "browser_binding_missing" 403: "The browser did not send the cookie that ties the login to it."; "Cookies are blocked, or the login is being completed in another browser."; RETRY;
    IntentOtherBrowser "intent_other_browser" 403: "The login began in another browser."; "Somebody tries to sign a user in as somebody else, or the cookie was replaced by a second login."; ATTACK;
    ReplayedAssertion "replayed_assertion" 409: "This assertion was used before."; "The user reloaded the page, or somebody posts a captured response again."; "If the same user signed in a moment earlier it was a reload; otherwise treat it as an attack.";
}

impl SignInRefusal {
    /// Every reason: the protocol's in the order of its checks, then the others.
    pub fn all() -> impl Iterator<Item = Self> {
        Refusal::ALL.iter().copied().map(Self::Saml).chain(Self::OWN.iter().copied())
    }

    /// The reason with this [`code`](Self::code), if there is one.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::all().find(|refusal| refusal.code() == code)
    }
}

impl From<Refusal> for SignInRefusal {
    fn from(refusal: Refusal) -> Self {
        Self::Saml(refusal)
    }
}

impl fmt::Display for SignInRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.meaning())
    }
}

impl Serialize for SignInRefusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for SignInRefusal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| serde::de::Error::custom("not the code of a refusal"))
    }
}

/// A login was refused: the reason, and the values that differ.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignInRefused {
    /// The reason.
    pub refusal: SignInRefusal,
    /// What would have been accepted.
    pub expected: Option<String>,
    /// What was found.
    pub actual: Option<String>,
    /// The login's record; none when it could not be written.
    pub trace_id: Option<TraceId>,
    /// The connection, if that came to be known.
    pub connection: Option<ConnectionId>,
    /// When it was refused.
    pub at: Timestamp,
}

impl fmt::Display for SignInRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.refusal.code(), self.refusal.meaning())?;
        if let Some(expected) = &self.expected {
            write!(f, " Expected {expected:?}.")?;
        }
        if let Some(actual) = &self.actual {
            write!(f, " Found {actual:?}.")?;
        }
        Ok(())
    }
}

impl std::error::Error for SignInRefused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_code_of_its_own_and_a_whole_entry() {
        let mut codes = std::collections::HashSet::new();
        for refusal in SignInRefusal::all() {
            assert!(codes.insert(refusal.code()), "{refusal:?} shares its code");
            assert_eq!(SignInRefusal::from_code(refusal.code()), Some(refusal));
            assert!(refusal.code().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
            for text in [refusal.meaning(), refusal.likely_cause(), refusal.operator_action()] {
                assert!(text.len() > 10 && text.ends_with('.'), "{refusal:?}: {text:?}");
            }
            assert!((400..=599).contains(&refusal.http_status()), "{refusal:?}");
        }
    }

    #[test]
    fn the_failure_table_of_the_design_names_every_reason() {
        let design = include_str!("../DESIGN.md");
        for refusal in SignInRefusal::OWN {
            assert!(design.contains(&format!("`{}`", refusal.code())), "{refusal:?}");
        }
    }
}
