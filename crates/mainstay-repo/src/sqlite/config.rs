//! SQLite URLs: `sqlite:///absolute/file.db?option=value`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

/// Where a SQLite database is and how to use it.
///
/// | option | default | meaning |
/// |---|---|---|
/// | `synchronous` | `full` | `full`: an acknowledged write survives a power cut; `normal`: it survives a crash of the process |
/// | `readers` | 4 | threads that read, 1 to [`SqliteConfig::MAX_READERS`] |
/// | `busy_timeout_ms` | 5000 | how long to wait for another process that writes, up to [`SqliteConfig::MAX_BUSY_TIMEOUT_MS`] |
/// | `create` | `true` | whether a missing file is created |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    path: PathBuf,
    synchronous: Synchronous,
    readers: usize,
    busy_timeout: Duration,
    create: bool,
}

/// When SQLite waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Synchronous {
    Full,
    Normal,
}

impl Synchronous {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

const OPTIONS: &str = "synchronous, readers, busy_timeout_ms and create";

impl SqliteConfig {
    /// The most reader threads.
    pub const MAX_READERS: usize = 64;
    /// The longest wait for another process, in milliseconds.
    pub const MAX_BUSY_TIMEOUT_MS: u64 = 60_000;

    /// Reads a `sqlite:` URL.
    pub(crate) fn from_url(url: &str) -> Result<Self> {
        let rest = url
            .strip_prefix("sqlite://")
            .ok_or_else(|| malformed(url, "the scheme is followed by two slashes and the path"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if path == ":memory:" || path.is_empty() {
            return Err(malformed(url, "it names no file; a database in memory is lost with the process"));
        }
        let path = percent_decode(path)
            .ok_or_else(|| malformed(url, "a percent sign needs two hexadecimal digits"))?;
        let mut config = Self {
            path: PathBuf::from(path),
            synchronous: Synchronous::Full,
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            create: true,
        };
        for option in query.split('&').filter(|option| !option.is_empty()) {
            config.set(option)?;
        }
        Ok(config)
    }

    fn set(&mut self, option: &str) -> Result<()> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match (name, value) {
            ("synchronous", "full") => self.synchronous = Synchronous::Full,
            ("synchronous", "normal") => self.synchronous = Synchronous::Normal,
            ("create", "true") => self.create = true,
            ("create", "false") => self.create = false,
            ("readers", value) => {
                let readers = value.parse().ok().filter(|readers| (1..=Self::MAX_READERS).contains(readers));
                self.readers = readers.ok_or_else(|| wrong_value(name, value, "a number from 1 to 64"))?;
            }
            ("busy_timeout_ms", value) => {
                let limit = value.parse().ok().filter(|limit| *limit <= Self::MAX_BUSY_TIMEOUT_MS);
                let limit =
                    limit.ok_or_else(|| wrong_value(name, value, "a number of milliseconds up to 60000"))?;
                self.busy_timeout = Duration::from_millis(limit);
            }
            ("synchronous", value) => return Err(wrong_value(name, value, "full or normal")),
            ("create", value) => return Err(wrong_value(name, value, "true or false")),
            (name, _) => {
                return Err(Error::configuration(format!("the SQLite URL's option {name:?} is not known"))
                    .with_help(format!("the known ones are {OPTIONS}")));
            }
        }
        Ok(())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn synchronous(&self) -> Synchronous {
        self.synchronous
    }

    pub(crate) const fn readers(&self) -> usize {
        self.readers
    }

    pub(crate) const fn busy_timeout(&self) -> Duration {
        self.busy_timeout
    }

    /// Whether a missing file is created.
    #[must_use]
    pub const fn create(&self) -> bool {
        self.create
    }
}

impl fmt::Display for SqliteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SQLite at {}", self.path.display())
    }
}

fn malformed(url: &str, why: &str) -> Error {
    Error::configuration(format!("{url:?} is not a SQLite URL: {why}"))
        .with_help("write sqlite:///absolute/path/file.db or sqlite://relative/path/file.db")
}

fn wrong_value(name: &str, value: &str, wanted: &str) -> Error {
    Error::configuration(format!("the SQLite URL's option {name} is {value:?}; it takes {wanted}"))
}

/// Decodes `%20` and the like; `None` when a percent sign is not followed by two hexadecimal digits or the result is not
/// UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let config = SqliteConfig::from_url("sqlite:///a/b%20c.db?synchronous=normal&readers=64").unwrap();
        assert_eq!(config.path(), Path::new("/a/b c.db"));
        assert_eq!((config.readers(), config.synchronous()), (64, Synchronous::Normal));
        let plain = SqliteConfig::from_url("sqlite://data/app.db").unwrap();
        assert_eq!((plain.path(), plain.synchronous()), (Path::new("data/app.db"), Synchronous::Full));
    }

    #[test]
    fn wrong_urls_say_why() {
        for (url, why) in [
            ("sqlite:/x", "two slashes"),
            ("sqlite://", "names no file"),
            ("sqlite://:memory:", "lost with the process"),
            ("sqlite:///a%2", "hexadecimal"),
            ("sqlite:///a?readers=65", "1 to 64"),
            ("sqlite:///a?readers=0", "1 to 64"),
            ("sqlite:///a?busy_timeout_ms=60001", "60000"),
            ("sqlite:///a?synchronous=off", "full or normal"),
            ("sqlite:///a?mode=ro", "not known"),
        ] {
            let text = SqliteConfig::from_url(url).unwrap_err().to_string();
            assert!(text.contains(why), "{url}: {text}");
        }
    }
}
