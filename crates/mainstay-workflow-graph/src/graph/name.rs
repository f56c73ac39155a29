//! Names inside a workflow, each of a type of its own so that they cannot be mixed up.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name for those who keep it; no text is copied.
            #[must_use]
            pub fn shared(&self) -> Arc<str> {
                Arc::clone(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<&$name> for $name {
            fn from(name: &$name) -> Self {
                name.clone()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name! {
    /// Names one node of a graph. A handler may stand behind many nodes; a key stands for one.
    StepKey
}
name! {
    /// What a step ends with; it decides which edges are taken.
    EventName
}
name! {
    /// What a run can be told from outside.
    SignalName
}
name! {
    /// The code that a step runs, as the host registers it.
    HandlerName
}

/// The longest name, in bytes.
pub(crate) const NAME_LIMIT: usize = 128;

/// Whether a name can be shown, stored and put into a picture as it is.
pub(crate) fn is_well_formed(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_LIMIT && name.trim() == name && !name.chars().any(char::is_control)
}
