//! PostgreSQL URLs.

use std::fmt;

use crate::error::Result;

/// Where a PostgreSQL database is and how to use it.
#[derive(Clone)]
pub struct PostgresConfig {}

impl PostgresConfig {
    /// Reads a `postgres://` URL.
    pub(crate) fn from_url(_url: &str) -> Result<Self> {
        Ok(Self {})
    }
}

impl fmt::Display for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgreSQL")
    }
}
