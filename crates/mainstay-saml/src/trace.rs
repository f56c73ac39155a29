//! What was checked, in order, with what was expected and what was found.

use serde::{Deserialize, Serialize};

use crate::refusal::{Fail, Refused, shown};

macro_rules! checks {
    ($($name:ident $text:literal $doc:literal;)*) => {
        /// One named check of the decision, in the order in which they run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Check {
            $(#[doc = $doc] $name,)*
        }

        impl Check {
            /// Every check, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable name for traces.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

checks! {
    Decode "decode" "Size and base64 of the form field.";
    Parse "parse" "Pre-scan and XML parsing.";
    Root "root" "The document element is a SAML 2.0 Response.";
    Status "status" "The identity provider reports success.";
    Structure "structure" "One Assertion, signatures in their places, unique IDs.";
    IssuerHint "issuer_hint" "The unverified Issuer names the connection's identity provider.";
    SignaturePolicy "signature_policy" "What the policy requires to be signed is signed.";
    ResponseSignature "response_signature" "The signature of the Response verifies.";
    AssertionSignature "assertion_signature" "The signature of the Assertion verifies.";
    Issuer "issuer" "The Issuer of the Response.";
    Destination "destination" "The Destination of the Response.";
    InResponseTo "in_response_to" "The request that the Response answers.";
    IssueInstant "issue_instant" "The Response and the Assertion were not issued in the future.";
    AssertionIssuer "assertion_issuer" "The Issuer of the Assertion.";
    NameId "name_id" "One textual NameID of an allowed format.";
    SubjectConfirmation "subject_confirmation" "A bearer confirmation for this service, this request and this time.";
    Conditions "conditions" "Known conditions only, and the time is within them.";
    Audience "audience" "Every audience restriction names this service.";
    AuthnStatement "authn_statement" "When and how the user authenticated.";
    Session "session" "The session at the identity provider has not ended.";
    Attributes "attributes" "The attributes are well-formed.";
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The check passed.
    Passed,
    /// The check failed and ended the decision.
    Failed,
    /// The check does not apply to this message under this policy.
    Skipped,
}

/// One line of a [`Trace`]. Texts are cut to [`MAX_TRACE_TEXT`](crate::MAX_TRACE_TEXT) characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TraceEntry {
    /// Which check.
    pub check: Check,
    /// How it ended.
    pub outcome: Outcome,
    /// What would pass.
    pub expected: Option<String>,
    /// What the message has.
    pub actual: Option<String>,
}

/// Everything that was checked, in order. Holds no key, no XML and no attribute value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Trace(Vec<TraceEntry>);

impl Trace {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(Check::ALL.len()))
    }

    /// The checks that ran.
    #[must_use]
    pub fn entries(&self) -> &[TraceEntry] {
        &self.0
    }

    pub(crate) fn passed(&mut self, check: Check) {
        self.0.push(TraceEntry { check, outcome: Outcome::Passed, expected: None, actual: None });
    }

    pub(crate) fn passed_with(&mut self, check: Check, expected: &str, actual: &str) {
        let (expected, actual) = (Some(shown(expected)), Some(shown(actual)));
        self.0.push(TraceEntry { check, outcome: Outcome::Passed, expected, actual });
    }

    pub(crate) fn skipped(&mut self, check: Check) {
        self.0.push(TraceEntry { check, outcome: Outcome::Skipped, expected: None, actual: None });
    }

    /// Enters the failed check and closes the trace.
    pub(crate) fn refuse(mut self, check: Check, fail: Fail) -> Refused {
        let Fail { refusal, expected, actual } = fail;
        let (in_trace, found) = (expected.clone(), actual.clone());
        self.0.push(TraceEntry { check, outcome: Outcome::Failed, expected: in_trace, actual: found });
        Refused { refusal, expected, actual, trace: self }
    }
}
