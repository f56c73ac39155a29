//! Names of the two tables that a host may own itself. Two types, so that one setting can never serve both.

use mainstay_repo::{Dialect, Sql};

use crate::error::{Error, ErrorKind, Result};

/// Longest table name, PostgreSQL's limit.
const MAX_TABLE_NAME: usize = 63;

macro_rules! table_type {
    ($(#[$meta:meta])* $name:ident, $default:literal, $sqlite:literal, $postgres:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// The table that this crate's migrations make.
            pub const DEFAULT: &'static str = $default;

            /// A table that the host made, by the text of [`ddl`](Self::ddl).
            ///
            /// # Errors
            /// [`ErrorKind::Configuration`] unless the name is made of lower-case letters, digits and `_`, begins with
            /// a letter and has at most 63 characters.
            pub fn new(name: &str) -> Result<Self> {
                checked(name).map(Self)
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The SQL that makes a table of this name.
            #[must_use]
            pub fn ddl(&self, dialect: Dialect) -> String {
                let template = match dialect {
                    Dialect::Sqlite => include_str!($sqlite),
                    _ => include_str!($postgres),
                };
                template.replace(Self::DEFAULT, &self.0)
            }

            /// A statement that was written for the default table, for this one.
            pub(crate) fn statement(&self, sql: Sql) -> Sql {
                if self.0 == Self::DEFAULT {
                    return sql;
                }
                let named = |dialect| sql.text(dialect).replace(Self::DEFAULT, &self.0);
                Sql::dynamic(named(Dialect::Sqlite), named(Dialect::Postgres))
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self(Self::DEFAULT.to_owned())
            }
        }
    };
}

table_type! {
    /// The table of request intents.
    IntentTable, "sso_request_intents", "migrations/intents_sqlite.sql", "migrations/intents_postgres.sql"
}

table_type! {
    /// The table of replay keys.
    ReplayTable, "sso_replay_keys", "migrations/replay_sqlite.sql", "migrations/replay_postgres.sql"
}

fn checked(name: &str) -> Result<String> {
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    let made_of = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if begins && made_of && name.len() <= MAX_TABLE_NAME {
        return Ok(name.to_owned());
    }
    Err(Error::new(ErrorKind::Configuration, format!("{name:?} is not a table name that is accepted here"))
        .with_help("use lower-case letters, digits and _, a letter first, at most 63 characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_to_what_needs_no_quotes() {
        for name in ["", "1a", "a-b", "a b", "A", "a;drop", "a\"b", "ä", &"a".repeat(64)] {
            assert!(IntentTable::new(name).is_err(), "{name:?}");
        }
        assert!(ReplayTable::new(&"a".repeat(63)).is_ok());
    }

    #[test]
    fn the_printed_table_has_the_given_name_throughout() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let ddl = IntentTable::new("app_intents").unwrap().ddl(dialect);
            assert!(ddl.contains("CREATE TABLE app_intents (") && !ddl.contains(IntentTable::DEFAULT));
            let ddl = ReplayTable::new("app_replay").unwrap().ddl(dialect);
            assert!(ddl.contains("ON app_replay (expires_at)") && !ddl.contains(ReplayTable::DEFAULT));
        }
    }
}
