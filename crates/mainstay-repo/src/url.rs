//! Database URLs: the one setting that chooses the database.

use std::fmt;

use crate::error::{Error, Result};

/// A parsed database URL. Its text form never shows a password.
#[derive(Clone)]
#[non_exhaustive]
pub enum DatabaseUrl {
    /// `sqlite:///absolute/path.db` or `sqlite://relative/path.db`.
    #[cfg(feature = "sqlite")]
    Sqlite(crate::sqlite::SqliteConfig),
    /// `postgres://user:password@host:port/database`.
    #[cfg(feature = "postgres")]
    Postgres(Box<crate::postgres::PostgresConfig>),
}

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration): it has no scheme or an unknown one, or an option
    /// is unknown or out of range.
    pub fn parse(url: &str) -> Result<Self> {
        let Some((scheme, _rest)) = url.split_once(':') else {
            return Err(Error::configuration(format!("{url:?} is not a database URL: it has no scheme"))
                .with_help("write sqlite:///path/to/file.db or postgres://user@host/database"));
        };
        match scheme {
            #[cfg(feature = "sqlite")]
            "sqlite" => crate::sqlite::SqliteConfig::from_url(url).map(Self::Sqlite),
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => {
                crate::postgres::PostgresConfig::from_url(url).map(|config| Self::Postgres(Box::new(config)))
            }
            #[cfg(not(feature = "sqlite"))]
            "sqlite" => Err(not_built("SQLite", "sqlite")),
            #[cfg(not(feature = "postgres"))]
            "postgres" | "postgresql" => Err(not_built("PostgreSQL", "postgres")),
            "litefs" => Err(Error::configuration("this program was built without LiteFS support")
                .with_help("use sqlite:///path/to/file.db on one machine, or postgres://… on several")),
            other => Err(Error::configuration(format!("the database URL's scheme {other:?} is not known"))
                .with_help("the known ones are sqlite and postgres")),
        }
    }
}

#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
fn not_built(database: &str, feature: &str) -> Error {
    Error::configuration(format!("this program was built without the {database} driver"))
        .with_help(format!("build it with the feature {feature:?} of mainstay-repo"))
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => fmt::Display::fmt(config, f),
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => fmt::Display::fmt(config, f),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}
