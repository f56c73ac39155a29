//! SQLite URLs.

use std::fmt;

use crate::error::Result;

/// Where a SQLite database is and how to use it.
#[derive(Clone)]
pub struct SqliteConfig {}

impl SqliteConfig {
    /// Reads a `sqlite://` URL.
    pub(crate) fn from_url(_url: &str) -> Result<Self> {
        Ok(Self {})
    }
}

impl fmt::Display for SqliteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SQLite")
    }
}
