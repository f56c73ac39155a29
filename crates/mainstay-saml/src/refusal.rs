//! Why a response was refused: one exact reason, and what an operator does about it.

use std::fmt;

use serde::Serialize;

use crate::trace::Trace;

const FORGED: &str = "Treat it as an attack until shown otherwise: keep the trace and ask who posted it.";
const ASK_IDP: &str =
    "Show the identity provider's administrator the expected and actual values of the trace.";
const IDP_BUG: &str = "Report it to the identity provider's vendor together with the trace.";
const RETRY: &str =
    "Let the user start the login again; if it repeats, compare the expected and actual values of the trace.";
const CLOCKS: &str = "Compare both clocks (NTP); if they agree, ask for a longer validity or raise the connection's clock skew.";
const CERTIFICATE: &str = "Import the identity provider's current metadata or certificate and activate it.";
const POLICY: &str =
    "Change the setting at the identity provider, or the connection's policy if the risk is accepted.";

macro_rules! refusals {
    ($($name:ident $code:literal $status:literal: $meaning:literal; $cause:literal; $action:expr;)*) => {
        /// The exact reason why a message was refused. Comparable, so that a test can ask for one reason and no other.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Refusal {
            $(#[doc = $meaning] $name,)*
        }

        impl Refusal {
            /// Every refusal, in the order in which the checks run.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable name for logs, interfaces and documents.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What was wrong, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// What usually causes it.
            #[must_use]
            pub const fn likely_cause(self) -> &'static str {
                match self { $(Self::$name => $cause,)* }
            }

            /// What an operator does next.
            #[must_use]
            pub const fn operator_action(self) -> &'static str {
                match self { $(Self::$name => $action,)* }
            }

            /// The HTTP status that a server answers with.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

refusals! {
    MessageTooLarge "message_too_large" 413: "The message is larger than the limit."; "A hostile client, or a user with thousands of groups."; "Ask the identity provider to send only the groups that this application needs.";
    NotBase64 "not_base64" 400: "The form field is not strict base64."; "A client that altered the field, or a deflated message on the POST binding."; RETRY;
    NotUtf8 "not_utf8" 400: "The message is not UTF-8 text."; "An identity provider that writes another encoding."; IDP_BUG;
    DoctypeForbidden "doctype_forbidden" 400: "The message has a document type declaration."; "An entity expansion or external entity attack."; FORGED;
    ProcessingInstructionForbidden "processing_instruction_forbidden" 400: "The message has a processing instruction, or an XML declaration that is not 1.0 and UTF-8."; "A parser confusion attack, or an identity provider that writes another encoding."; FORGED;
    XmlLimitExceeded "xml_limit_exceeded" 400: "The message is nested deeper or has more elements, attributes or namespaces than the limits allow."; "An attempt to exhaust the service."; FORGED;
    XmlMalformed "xml_malformed" 400: "The message is not well-formed XML."; "A truncated or altered message."; RETRY;
    NamespaceMisuse "namespace_misuse" 400: "A name or a namespace declaration is not allowed by Namespaces in XML 1.0."; "A parser confusion attack."; FORGED;
    NotAResponse "not_a_response" 400: "The document element is not a SAML 2.0 protocol Response."; "Another kind of message was posted to the assertion consumer service."; "Check which URL the identity provider uses for which message.";
    VersionUnsupported "version_unsupported" 400: "The Response or the Assertion is not of version 2.0."; "An identity provider set to SAML 1.1."; POLICY;
    IdMissing "id_missing" 400: "The Response or the Assertion has no usable ID."; "A faulty identity provider."; IDP_BUG;
    IdNamespaced "id_namespaced" 400: "An ID attribute is in a namespace."; "An ID confusion attack."; FORGED;
    IdDuplicate "id_duplicate" 400: "Two elements carry the same ID."; "A signature wrapping attack."; FORGED;
    TimeMalformed "time_malformed" 400: "A time is not a UTC instant of XML Schema."; "A faulty identity provider."; IDP_BUG;
    StatusMissing "status_missing" 400: "The Response does not have exactly one Status with one StatusCode."; "A faulty identity provider."; IDP_BUG;
    StatusNotSuccess "status_not_success" 403: "The identity provider reports that the login did not succeed."; "The user was not allowed, cancelled, or the request asked for something unsupported."; "Read the status code and message in the trace, and the identity provider's own log.";
    AssertionMissing "assertion_missing" 400: "The Response has no Assertion."; "The identity provider's policy released nothing."; ASK_IDP;
    AssertionMultiple "assertion_multiple" 400: "The Response has more than one Assertion."; "A signature wrapping attack, or an unusual identity provider."; FORGED;
    AssertionMisplaced "assertion_misplaced" 400: "An Assertion stands somewhere other than directly in the Response."; "A signature wrapping attack."; FORGED;
    EncryptedAssertionUnsupported "encrypted_assertion_unsupported" 400: "The Assertion is encrypted, which this version does not read."; "Assertion encryption is on at the identity provider."; "Turn assertion encryption off for this application; TLS protects the message.";
    SignatureMisplaced "signature_misplaced" 400: "A Signature stands somewhere other than right after the Issuer of the Response or of the Assertion."; "A signature wrapping attack."; FORGED;
    SignatureMultiple "signature_multiple" 400: "An element has more than one Signature."; "A signature wrapping attack."; FORGED;
    SignatureMissing "signature_missing" 403: "Neither the Response nor the Assertion is signed."; "Signing is off at the identity provider, or a forged message."; POLICY;
    ResponseSignatureMissing "response_signature_missing" 403: "The policy requires a signed Response, and it is not signed."; "The identity provider signs only assertions."; POLICY;
    AssertionSignatureMissing "assertion_signature_missing" 403: "The policy requires a signed Assertion, and it is not signed."; "The identity provider signs only responses."; POLICY;
    IssuerMissing "issuer_missing" 403: "The Response is signed or posted without its Issuer where one is needed."; "A faulty identity provider."; IDP_BUG;
    IssuerMismatch "issuer_mismatch" 403: "The Issuer of the Response is not the connection's identity provider."; "A response of another connection, or a changed entity id."; ASK_IDP;
    AssertionIssuerMissing "assertion_issuer_missing" 403: "The Assertion does not have exactly one Issuer."; "A faulty identity provider."; IDP_BUG;
    AssertionIssuerMismatch "assertion_issuer_mismatch" 403: "The Issuer of the Assertion is not the connection's identity provider."; "A response of another connection, or a changed entity id."; ASK_IDP;
    NoTrustedCertificate "no_trusted_certificate" 403: "The connection has no certificate to verify with."; "The last certificate was retired, or none was imported."; CERTIFICATE;
    SignatureMalformed "signature_malformed" 400: "The Signature does not have the one shape that SAML allows."; "A signature exclusion attack, or an unusual signer."; FORGED;
    CanonicalizationUnsupported "canonicalization_unsupported" 400: "The canonicalization method is not supported."; "An unusual signer, or an attack through the method."; POLICY;
    InclusiveCanonicalizationNotAllowed "inclusive_canonicalization_not_allowed" 403: "The signature uses inclusive canonicalization, and the policy does not allow it."; "An old signer."; POLICY;
    TransformUnsupported "transform_unsupported" 400: "A transform is not one of the two that SAML allows, or stands in the wrong order."; "An attack through transforms, or an unusual signer."; FORGED;
    ReferenceCount "reference_count" 400: "The signature does not have exactly one Reference."; "A signature exclusion attack."; FORGED;
    ReferenceMismatch "reference_mismatch" 400: "The Reference does not name the element that carries the signature."; "A signature wrapping attack."; FORGED;
    SignatureAlgorithmNotAllowed "signature_algorithm_not_allowed" 403: "The signature algorithm is not allowed."; "SHA-1 or another legacy algorithm is set at the identity provider, or an algorithm confusion attack."; POLICY;
    DigestAlgorithmNotAllowed "digest_algorithm_not_allowed" 403: "The digest algorithm is not allowed."; "SHA-1 or another legacy algorithm is set at the identity provider."; POLICY;
    KeyTypeMismatch "key_type_mismatch" 403: "No certificate of the connection has a key of the type that the signature algorithm needs."; "The identity provider changed its key type, or an algorithm confusion attack."; CERTIFICATE;
    KeyTooWeak "key_too_weak" 403: "The only keys of the right type are shorter than the policy allows."; "An old certificate at the identity provider."; "Ask the identity provider for a certificate with an RSA key of at least 2048 bits, or an ECDSA key.";
    CertificateExpired "certificate_expired" 403: "The certificate that verifies the signature has expired, and the policy refuses expired certificates."; "The identity provider forgot to renew its certificate."; CERTIFICATE;
    CertificateNotYetValid "certificate_not_yet_valid" 403: "The certificate that verifies the signature is not valid yet, and the policy refuses such certificates."; "A certificate that was put into use too early, or wrong clocks."; CLOCKS;
    DigestMismatch "digest_mismatch" 403: "The signed content was changed after it was signed."; "Tampering, or a proxy that rewrites the message."; FORGED;
    SignatureInvalid "signature_invalid" 403: "No active certificate of the connection verifies the signature."; "The identity provider rotated its key, or a forged message."; CERTIFICATE;
    DestinationMissing "destination_missing" 403: "The Response has no Destination, and the policy requires one."; "A faulty identity provider."; POLICY;
    DestinationMismatch "destination_mismatch" 403: "The Destination is not this service's assertion consumer URL."; "A wrong ACS URL at the identity provider, or a response for another service."; "Compare the ACS URL at the identity provider with this connection's, character by character.";
    InResponseToMissing "in_response_to_missing" 403: "The Response does not say which request it answers."; "An identity-provider-initiated response arrived where an answer was expected."; RETRY;
    InResponseToMismatch "in_response_to_mismatch" 403: "The Response answers another request."; "Two logins in two tabs, or an injected response."; RETRY;
    UnsolicitedNotAllowed "unsolicited_not_allowed" 403: "No request is waiting for this Response, and the policy does not allow identity-provider-initiated login."; "A bookmark of the identity provider, an expired login, or login cross-site request forgery."; "Let the user start at this service, or allow identity-provider-initiated login on the connection.";
    InResponseToUnexpected "in_response_to_unexpected" 403: "An unsolicited Response claims to answer a request."; "A replayed or injected response, or an expired login."; RETRY;
    IssuedInFuture "issued_in_future" 403: "The Response or the Assertion was issued in the future."; "Clocks that differ."; CLOCKS;
    SubjectMissing "subject_missing" 403: "The Assertion does not have exactly one Subject."; "A faulty identity provider."; IDP_BUG;
    NameIdMissing "name_id_missing" 403: "The Subject has no NameID."; "The identity provider releases no name identifier for this user."; ASK_IDP;
    NameIdMultiple "name_id_multiple" 403: "The Subject has more than one identifier."; "A faulty identity provider, or an identity confusion attack."; FORGED;
    NameIdInvalid "name_id_invalid" 403: "The NameID is empty, too long, padded with white space, or holds something other than text."; "The mapped attribute is empty for this user, or an identity confusion attack."; ASK_IDP;
    NameIdFormatNotAllowed "name_id_format_not_allowed" 403: "The format of the NameID is not one that the policy allows."; "The NameID format at the identity provider was changed."; POLICY;
    NameIdQualifierMismatch "name_id_qualifier_mismatch" 403: "The SPNameQualifier of the NameID names another service."; "An assertion made for another service."; ASK_IDP;
    EncryptedIdUnsupported "encrypted_id_unsupported" 403: "The identifier is encrypted, which this version does not read."; "NameID encryption is on at the identity provider."; "Turn NameID encryption off for this application.";
    SubjectConfirmationMissing "subject_confirmation_missing" 403: "The Subject has no bearer SubjectConfirmation."; "The identity provider uses holder-of-key or another method."; POLICY;
    SubjectConfirmationDataMissing "subject_confirmation_data_missing" 403: "The bearer SubjectConfirmation has no data."; "A faulty identity provider."; IDP_BUG;
    RecipientMissing "recipient_missing" 403: "The SubjectConfirmationData has no Recipient."; "A faulty identity provider."; IDP_BUG;
    RecipientMismatch "recipient_mismatch" 403: "The Recipient is not this service's assertion consumer URL."; "A wrong ACS URL at the identity provider, or an assertion for another service."; "Compare the ACS URL at the identity provider with this connection's, character by character.";
    ConfirmationInResponseToMismatch "confirmation_in_response_to_mismatch" 403: "The SubjectConfirmationData answers another request, or none."; "An assertion taken from another login."; FORGED;
    ConfirmationNotBeforePresent "confirmation_not_before_present" 403: "The bearer SubjectConfirmationData has a NotBefore, which the profile forbids."; "A faulty identity provider."; IDP_BUG;
    ConfirmationExpiryMissing "confirmation_expiry_missing" 403: "The SubjectConfirmationData has no NotOnOrAfter."; "A faulty identity provider."; IDP_BUG;
    ConfirmationExpired "confirmation_expired" 403: "The SubjectConfirmationData is no longer valid."; "A slow login, a replayed message, or clocks that differ."; CLOCKS;
    ConditionsMissing "conditions_missing" 403: "The Assertion does not have exactly one Conditions."; "A faulty identity provider."; IDP_BUG;
    ConditionUnknown "condition_unknown" 403: "The Assertion has a condition that this service does not understand, so it must not be accepted."; "An unusual identity provider."; ASK_IDP;
    AssertionNotYetValid "assertion_not_yet_valid" 403: "The Assertion is not valid yet."; "Clocks that differ."; CLOCKS;
    AssertionExpired "assertion_expired" 403: "The Assertion is no longer valid."; "A slow login, a replayed message, or clocks that differ."; CLOCKS;
    AudienceMissing "audience_missing" 403: "The Assertion is not restricted to an audience."; "The service's entity id is not set at the identity provider."; ASK_IDP;
    AudienceMismatch "audience_mismatch" 403: "The Assertion is meant for another audience."; "A wrong service entity id at the identity provider, or an assertion for another service."; "Compare the audience at the identity provider with this service's entity id, character by character.";
    AuthnStatementMissing "authn_statement_missing" 403: "The Assertion does not say that the user authenticated."; "The identity provider sent only attributes."; ASK_IDP;
    AuthnInstantInvalid "authn_instant_invalid" 403: "The time of authentication is in the future, or missing where the policy limits its age."; "Clocks that differ, or a faulty identity provider."; CLOCKS;
    AuthnTooOld "authn_too_old" 403: "The user authenticated longer ago than the policy allows."; "A long session at the identity provider."; "Ask for a fresh authentication (ForceAuthn), or raise the limit of the policy.";
    AuthnContextNotAllowed "authn_context_not_allowed" 403: "The way in which the user authenticated is not one that the policy allows."; "The user signed in without the second factor that the policy asks for."; POLICY;
    SessionExpired "session_expired" 403: "The session at the identity provider has ended."; "An old session, or clocks that differ."; CLOCKS;
    AttributeInvalid "attribute_invalid" 403: "An attribute has no name, or a statement holds something that does not belong there."; "A faulty identity provider."; IDP_BUG;
    AttributeDuplicate "attribute_duplicate" 403: "Two attributes have the same name, and the policy refuses that."; "Two mappings onto one name at the identity provider."; POLICY;
    EncryptedAttributeUnsupported "encrypted_attribute_unsupported" 403: "An attribute is encrypted, which this version does not read."; "Attribute encryption is on at the identity provider."; "Turn attribute encryption off for this application.";
}

impl Refusal {
    /// The refusal with this [`code`](Self::code), if there is one.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.code() == code)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.meaning())
    }
}

impl Serialize for Refusal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> serde::Deserialize<'de> for Refusal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| serde::de::Error::custom("not the code of a refusal"))
    }
}

/// A message was refused: the exact reason, the values that differ, and everything that was checked before.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The reason.
    pub refusal: Refusal,
    /// What would have been accepted.
    pub expected: Option<String>,
    /// What the message says. From an unverified message unless the check ran on signed content.
    pub actual: Option<String>,
    /// Every check that ran, the failed one last.
    pub trace: Trace,
}

impl fmt::Display for Refused {
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

impl std::error::Error for Refused {}

/// A failed check inside the pipeline, before it is entered in the trace.
#[derive(Debug)]
pub(crate) struct Fail {
    pub(crate) refusal: Refusal,
    pub(crate) expected: Option<String>,
    pub(crate) actual: Option<String>,
}

/// Longest text from a message that is repeated in a refusal or a trace.
pub const MAX_TRACE_TEXT: usize = 256;

/// `text` held to [`MAX_TRACE_TEXT`] characters, without control characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(MAX_TRACE_TEXT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl Fail {
    pub(crate) fn expecting(mut self, expected: &str) -> Self {
        self.expected = Some(shown(expected));
        self
    }

    pub(crate) fn found(mut self, actual: &str) -> Self {
        self.actual = Some(shown(actual));
        self
    }
}

impl From<Refusal> for Fail {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, expected: None, actual: None }
    }
}

impl Refusal {
    pub(crate) fn expecting(self, expected: &str) -> Fail {
        Fail::from(self).expecting(expected)
    }

    pub(crate) fn found(self, actual: &str) -> Fail {
        Fail::from(self).found(actual)
    }
}
