//! Who asks for something, and how much they may do.
//!
//! The crates that own data ask here before they touch it, and write down the actor beside the change. Who somebody is and which
//! role they have is found out elsewhere, by sign-in; what they may do with it is decided where the data is.

use std::fmt;
use std::str::FromStr;

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

impl FromStr for Actor {
    type Err = ActorError;

    fn from_str(text: &str) -> Result<Self, ActorError> {
        Self::new(text)
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
pub enum Role {
    /// Look.
    Read,
    /// Change, and undo by another change.
    Write,
    /// Remove for ever, and take from others what they hold.
    Admin,
}

impl Role {
    /// The stable name, which is also what is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            "admin" => Ok(Self::Admin),
            _ => Err(UnknownRole),
        }
    }
}

/// A text that names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownRole;

impl fmt::Display for UnknownRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a role is read, write or admin")
    }
}

impl std::error::Error for UnknownRole {}

impl fmt::Display for Role {
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
    pub role: Role,
}

impl Caller {
    /// A caller.
    #[must_use]
    pub const fn new(actor: Actor, role: Role) -> Self {
        Self { actor, role }
    }

    /// The operator of the machine, who may do everything.
    #[must_use]
    pub const fn system(actor: Actor) -> Self {
        Self::new(actor, Role::Admin)
    }

    /// Asks for a role.
    ///
    /// # Errors
    /// [`Denied`], which says who lacks what.
    pub fn require(&self, needed: Role) -> Result<(), Denied> {
        if self.role >= needed {
            return Ok(());
        }
        Err(Denied { caller: self.clone(), needed })
    }
}

/// Somebody asked for what they may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    caller: Caller,
    needed: Role,
}

impl Denied {
    /// The least role that would have done.
    #[must_use]
    pub const fn needed(&self) -> Role {
        self.needed
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caller: Caller { actor, role }, needed } = self;
        write!(f, "{actor} has the role {role} and this needs {needed}")
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
    fn roles_include_the_lesser_ones_and_a_refusal_says_who_lacks_what() {
        let with = |role| Caller::new(Actor::new("ada").unwrap(), role);
        for (has, needs, may) in [
            (Role::Read, Role::Read, true),
            (Role::Read, Role::Write, false),
            (Role::Write, Role::Admin, false),
            (Role::Admin, Role::Read, true),
        ] {
            assert_eq!(with(has).require(needs).is_ok(), may, "{has} {needs}");
        }
        let denied = with(Role::Read).require(Role::Write).unwrap_err();
        assert_eq!(denied.to_string(), "ada has the role read and this needs write");
        assert_eq!(denied.needed(), Role::Write);
        for role in [Role::Read, Role::Write, Role::Admin] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!("Admin".parse::<Role>(), Err(UnknownRole));
        assert!(Caller::system(Actor::new("cli").unwrap()).require(Role::Admin).is_ok());
    }
}
