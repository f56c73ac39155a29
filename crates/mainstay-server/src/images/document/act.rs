//! Who did what.

use mainstay_images::Act;
use serde::Serialize;

use super::{named, next};

/// That somebody did something.
#[derive(Debug, Clone, Serialize)]
pub struct ActLine {
    /// Its number; a later act has a greater one.
    pub number: i64,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// What: `tag`, `remove` and the like.
    pub action: String,
    /// The image's digest; null when it was about none. The image may be gone.
    pub image: Option<String>,
    /// A name, a lease or a holder that it was about.
    pub subject: Option<String>,
}

impl From<Act> for ActLine {
    fn from(act: Act) -> Self {
        Self {
            number: act.id,
            at: act.at.to_string(),
            actor: act.actor,
            action: act.action,
            image: act.image.as_ref().map(named),
            subject: act.subject,
        }
    }
}

/// A page of acts.
#[derive(Debug, Clone, Serialize)]
pub struct ActPage {
    /// The acts, the newest first.
    pub acts: Vec<ActLine>,
    /// Where the next page begins; null on the last one.
    pub next: Option<i64>,
}

impl ActPage {
    /// A page that was asked for with a limit.
    #[must_use]
    pub fn new(acts: Vec<Act>, limit: u32) -> Self {
        let next = next(&acts, limit, |act| act.id);
        Self { acts: acts.into_iter().map(ActLine::from).collect(), next }
    }
}
