//! Why something is kept.

use mainstay_images::Claim;
use serde::Serialize;

/// What keeps an image or a blob.
#[derive(Debug, Clone, Serialize)]
pub struct ClaimLine {
    /// In a sentence.
    pub text: String,
    /// What keeps the image that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Self>,
}

impl From<&Claim> for ClaimLine {
    fn from(claim: &Claim) -> Self {
        let because = match claim {
            Claim::Image { claims, .. } => claims.iter().map(Self::from).collect(),
            _ => Vec::new(),
        };
        Self { text: claim.to_string(), because }
    }
}

/// Why an image or a blob is kept.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainDocument {
    /// Its digest.
    pub digest: String,
    /// `image` or `blob`.
    pub what: &'static str,
    /// What keeps it.
    pub claims: Vec<ClaimLine>,
}
