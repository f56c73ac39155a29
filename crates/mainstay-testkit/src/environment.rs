//! The environment variables that tests listen to; read here and nowhere else.

use std::path::PathBuf;

/// A variable that is set and not empty.
#[allow(clippy::disallowed_methods, reason = "the one place where tests read the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `MAINSTAY_TEST_POSTGRES`: the URL of a server to use instead of starting one.
#[must_use]
pub fn postgres_url() -> Option<String> {
    variable("MAINSTAY_TEST_POSTGRES")
}

/// `MAINSTAY_GOLDEN=refresh`: write golden files anew.
#[must_use]
pub fn refreshes_golden() -> bool {
    variable("MAINSTAY_GOLDEN").is_some_and(|value| value == "refresh")
}

/// `MAINSTAY_PICTURES`: a directory in which tests with a browser leave pictures of pages, for somebody to look at.
#[must_use]
pub fn pictures() -> Option<PathBuf> {
    variable("MAINSTAY_PICTURES").map(PathBuf::from)
}

/// `MAINSTAY_SOAK`: crash tests run for long.
#[must_use]
pub fn soaks() -> bool {
    variable("MAINSTAY_SOAK").is_some()
}

/// `MAINSTAY_SEED`: repeats a random test.
#[must_use]
pub fn seed() -> Option<u64> {
    variable("MAINSTAY_SEED").and_then(|value| value.parse().ok())
}

/// Whether cargo or nextest started this process; its parent is then the test command.
pub(crate) fn has_test_runner() -> bool {
    variable("CARGO_PKG_NAME").is_some() || variable("NEXTEST").is_some()
}

/// The directories of `PATH`.
pub(crate) fn path() -> Vec<PathBuf> {
    variable("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}
