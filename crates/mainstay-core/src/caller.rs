//! Who asks for something, and how much they may do.
//!
//! The crates that own data ask here before they touch it, and write down the actor beside the change. Who somebody is and which
//! role they have is found out elsewhere, by sign-in; what they may do with it is decided where the data is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name of an actor, in characters.
pub const MAX_ACTOR_CHARS: usize = 200;

/// Who acts: a person, a program, a command. It stands in histories for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Actor(String);

/// Why a text names no actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ActorError {
    /// Nothing but white space.
    Blank,
    /// More than [`MAX_ACTOR_CHARS`] characters.
    TooLong,
    /// A control character, which could forge a line of a log.
    ControlCharacter,
}

impl fmt::Display for ActorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("the actor is blank; say who acts"),
            Self::TooLong => write!(f, "the actor is longer than {MAX_ACTOR_CHARS} characters; shorten it"),
            Self::ControlCharacter => f.write_str("the actor holds a control character; leave it out"),
        }
    }
}

impl std::error::Error for ActorError {}

impl Actor {
    /// Takes a text of 1 to [`MAX_ACTOR_CHARS`] characters without control characters; white space around it is cut off.
    ///
    /// # Errors
    /// [`ActorError`].
    pub fn new(text: impl AsRef<str>) -> Result<Self, ActorError> {
        let text = text.as_ref().trim();
        if text.is_empty() {
            return Err(ActorError::Blank);
        }
        if text.chars().count() > MAX_ACTOR_CHARS {
            return Err(ActorError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(ActorError::ControlCharacter);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Actor {
    type Error = ActorError;

    fn try_from(text: String) -> Result<Self, ActorError> {
        Self::new(text)
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.0
    }
}

/// What an actor may do; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Look.
    Read,
    /// Change, and undo by another change.
    Write,
    /// Remove for ever, and take from others what they hold.
    Admin,
}

impl Access {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An actor and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// Who acts.
    pub actor: Actor,
    /// What they may do.
    pub access: Access,
}

impl Caller {
    /// A caller.
    #[must_use]
    pub const fn new(actor: Actor, access: Access) -> Self {
        Self { actor, access }
    }

    /// The operator of the machine, who may do everything.
    #[must_use]
    pub const fn system(actor: Actor) -> Self {
        Self::new(actor, Access::Admin)
    }

    /// Asks for access.
    ///
    /// # Errors
    /// [`Denied`], which says who lacks what.
    pub fn require(&self, needed: Access) -> Result<(), Denied> {
        if self.access >= needed {
            return Ok(());
        }
        Err(Denied { caller: self.clone(), needed })
    }
}

/// Somebody asked for what they may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    caller: Caller,
    needed: Access,
}

impl Denied {
    /// The least access that would have done.
    #[must_use]
    pub const fn needed(&self) -> Access {
        self.needed
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caller: Caller { actor, access }, needed } = self;
        write!(f, "{actor} has the role {access} and this needs {needed}")
    }
}

impl std::error::Error for Denied {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_a_text_within_its_limit() {
        let longest = "é".repeat(MAX_ACTOR_CHARS);
        assert_eq!(Actor::new(format!(" {longest} ")).unwrap().as_str(), longest);
        for (text, why) in [
            (format!("{longest}e"), ActorError::TooLong),
            (" \n".to_owned(), ActorError::Blank),
            ("a\nlevel=ERROR".to_owned(), ActorError::ControlCharacter),
        ] {
            assert_eq!(Actor::new(text), Err(why));
        }
        // What a stored document says is checked as well.
        assert_eq!(Actor::try_from("\u{1b}[31m".to_owned()), Err(ActorError::ControlCharacter));
    }

    #[test]
    fn access_includes_the_lesser_ones_and_a_refusal_says_who_lacks_what() {
        let with = |access| Caller::new(Actor::new("ada").unwrap(), access);
        for (has, needs, may) in [
            (Access::Read, Access::Read, true),
            (Access::Read, Access::Write, false),
            (Access::Write, Access::Admin, false),
            (Access::Admin, Access::Read, true),
        ] {
            assert_eq!(with(has).require(needs).is_ok(), may, "{has} {needs}");
        }
        let denied = with(Access::Read).require(Access::Write).unwrap_err();
        assert_eq!(denied.to_string(), "ada has the role read and this needs write");
        assert_eq!(denied.needed(), Access::Write);
        assert!(Caller::system(Actor::new("cli").unwrap()).require(Access::Admin).is_ok());
    }
}
