//! The layers of the configuration: defaults, file, environment, flags; the later one wins.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::{Problem, SETTINGS, Setting};

/// What the names of our environment variables start with.
pub const ENVIRONMENT_PREFIX: &str = "MAINSTAY_";

/// The name that OpenTelemetry gives to `otlp_endpoint`.
const STANDARD_COLLECTOR: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Names with our prefix that are not settings of the server.
const OTHER_NAMES: [&str; 8] = [
    "MAINSTAY_CONFIG",
    "MAINSTAY_GOLDEN",
    "MAINSTAY_LEASE",
    "MAINSTAY_LEASE_IMAGE",
    "MAINSTAY_LEASE_TOKEN",
    "MAINSTAY_REGISTRY_PASSWORD",
    "MAINSTAY_SEED",
    "MAINSTAY_SOAK",
];

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody said otherwise.
    Default,
    /// The configuration file.
    File(String),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A setting's text and who gave it.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// What the process was given: read once at its start.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The configuration file's path and text, if there is one.
    pub file: Option<(String, String)>,
    /// The environment; names without our prefix are ignored.
    pub environment: Vec<(String, String)>,
    /// Flags: the setting's key and its text.
    pub flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// Reads the configuration file as well.
    ///
    /// # Errors
    /// A problem when it cannot be read.
    pub fn with_file(mut self, path: &Path) -> Result<Self, Problem> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Problem {
            setting: "config".to_owned(),
            origin: Origin::File(shown.clone()),
            message: format!("the configuration file cannot be read: {error}"),
            mend: "give the path of a file that exists and that this user may read".to_owned(),
        })?;
        self.file = Some((shown, text));
        Ok(self)
    }
}

/// Lays the sources over each other. Unknown names in the file are problems; in the environment they are warnings,
/// since others may use the prefix too.
pub(super) fn merge(
    sources: &Sources,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> BTreeMap<&'static str, Given> {
    let mut merged = BTreeMap::new();
    if let Some((path, text)) = &sources.file {
        from_file(path, text, &mut merged, problems);
    }
    for (name, value) in &sources.environment {
        from_environment(name, value, &mut merged, warnings);
    }
    for (key, value) in &sources.flags {
        let origin = Origin::Flag(format!("--{}", key.replace('_', "-")));
        merged.insert(*key, Given { text: value.clone(), origin });
    }
    merged
}

fn from_file(
    path: &str,
    text: &str,
    merged: &mut BTreeMap<&'static str, Given>,
    problems: &mut Vec<Problem>,
) {
    let origin = || Origin::File(path.to_owned());
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            problems.push(Problem {
                setting: "config".to_owned(),
                origin: origin(),
                // Not the error's whole text: it quotes the line, which may hold a password.
                message: format!("line {} is not TOML: {}", line(text, &error), error.message()),
                mend: "texts stand in quotes: listen = \"127.0.0.1:7800\"".to_owned(),
            });
            return;
        }
    };
    for (name, value) in &table {
        let Some(setting) = Setting::find(name) else {
            problems.push(Problem {
                setting: name.clone(),
                origin: origin(),
                message: "there is no such setting".to_owned(),
                mend: suggestion(name),
            });
            continue;
        };
        match as_text(value) {
            Some(text) => {
                merged.insert(setting.key, Given { text, origin: origin() });
            }
            None => problems.push(Problem {
                setting: name.clone(),
                origin: origin(),
                message: "the value is neither a text, a number, a truth value nor a list of texts"
                    .to_owned(),
                mend: format!("write {name} = \"…\""),
            }),
        }
    }
}

fn line(text: &str, error: &toml::de::Error) -> usize {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    1 + before.matches('\n').count()
}

fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

fn from_environment(
    name: &str,
    value: &str,
    merged: &mut BTreeMap<&'static str, Given>,
    warnings: &mut Vec<String>,
) {
    if name == STANDARD_COLLECTOR {
        // What every program with OpenTelemetry reads; our own name goes before it.
        let origin = Origin::Environment(name.to_owned());
        merged.entry("otlp_endpoint").or_insert_with(|| Given { text: value.to_owned(), origin });
        return;
    }
    let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) else { return };
    let key = key.to_ascii_lowercase();
    match Setting::find(&key) {
        Some(setting) => {
            let origin = Origin::Environment(name.to_owned());
            merged.insert(setting.key, Given { text: value.to_owned(), origin });
        }
        None if OTHER_NAMES.contains(&name) || key.starts_with("test_") => {}
        None => warnings.push(format!("{name} is not a setting and is ignored; {}", suggestion(&key))),
    }
}

/// The known setting that a wrong name most likely meant.
fn suggestion(name: &str) -> String {
    let nearest = SETTINGS.iter().min_by_key(|setting| distance(setting.key, name));
    match nearest {
        Some(setting) if is_slip(setting.key, name) => format!("did you mean {}?", setting.key),
        _ => {
            let keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
            format!("there are: {}", keys.join(", "))
        }
    }
}

/// Whether a name is so near a key that it is a slip of it: three letters at most, and fewer than half of the key's.
fn is_slip(key: &str, name: &str) -> bool {
    let differ = distance(key, name);
    differ <= 3 && differ * 2 < key.chars().count()
}

/// How many letters differ (Levenshtein).
fn distance(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in two.iter().enumerate() {
            let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let best = (get(&row, j) + usize::from(a != *b)).min(get(&row, j + 1) + 1).min(get(&next, j) + 1);
            next.push(best);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_word() {
        for (key, name, expected) in [
            ("log", "lg", true),
            ("log", "bogus", false),
            ("dev", "lot", false),
            ("listen", "lsten", true),
            ("public_url", "public_uri", true),
            ("log_format", "lg_frmt", true),
            ("log_format", "g_frmt", false),
        ] {
            assert_eq!(is_slip(key, name), expected, "{key} {name}");
        }
    }

    #[test]
    fn letters_that_differ_are_counted() {
        for (one, two, expected) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "abd", 1), ("abc", "ac", 1), ("", "ab", 2)]
        {
            assert_eq!(distance(one, two), expected, "{one} {two}");
        }
    }
}
