//! How large things may be. What is larger is refused before a database sees it, with the same error on both databases.

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};

/// The largest input of a run, as JSON: 1 MiB.
pub const MAX_INPUT_BYTES: usize = 1024 * 1024;
/// The largest result of a step, of an item of a map or of a run, as JSON: 1 MiB. A map's list may be [`MAX_LIST_BYTES`].
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// The largest list of a map's items, as JSON: 16 MiB.
pub const MAX_LIST_BYTES: usize = 16 * 1024 * 1024;
/// The largest payload of a signal, as JSON: 64 KiB.
pub const MAX_SIGNAL_BYTES: usize = 64 * 1024;
/// The largest attributes of a run, as JSON: 16 KiB.
pub const MAX_ATTRIBUTES_BYTES: usize = 16 * 1024;
/// The largest metadata for telemetry, as JSON: 4 KiB.
pub const MAX_TELEMETRY_BYTES: usize = 4 * 1024;
/// The most signals of a run that nobody has taken yet.
pub const MAX_MAILBOX: u32 = 1_000;
/// The most cancels, pauses and resumes of a run that it has not read yet. Signals do not count for it.
pub const MAX_COMMANDS: u32 = 100;
/// The longest name of a namespace, in bytes.
pub const MAX_NAMESPACE_BYTES: usize = 63;
/// The longest name of a queue or a schedule, fairness key or identifier of a sender, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// The longest business key with its prefix, in bytes.
pub const MAX_KEY_BYTES: usize = 255;
/// The longest reason for a cancellation or a failure that is kept with the run, in bytes; longer ones are cut.
pub const MAX_REASON_BYTES: usize = 4 * 1024;
/// The largest detail of an act, as JSON: 8 KiB. A larger one is left out.
pub const MAX_ACT_BYTES: usize = 8 * 1024;
/// The most runs, commits, letters or tasks that go into one batch; more are sent as several.
pub const MAX_GROUP: usize = 512;
/// The most octets of one such batch, unless a single one is larger: 8 MiB.
pub const MAX_GROUP_BYTES: usize = 8 * 1024 * 1024;

/// What mends a cursor that cannot be read.
pub(crate) const CURSOR_HELP: &str =
    "give the `next` of the page before as it is, or leave it out for the first page";

/// Refuses a text that is empty, too long or not printable.
pub(crate) fn check_name(what: &'static str, text: &str, limit: usize) -> Result<()> {
    if text.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{what}: an empty text is no name"))
            .with_help("give at least one character, or leave it out where it may be"));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::new(ErrorKind::InvalidInput, format!("the {what} holds a control character")));
    }
    check_size(what, text.len(), limit)
}

/// Refuses what is too large.
pub(crate) fn check_size(what: &'static str, size: usize, limit: usize) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    let message = format!("the {what} has {size} bytes; the most is {limit}");
    Err(Error::new(ErrorKind::TooLarge { what, size, limit }, message)
        .with_help("keep large things elsewhere and hand on a reference"))
}

/// A value as JSON, if it is small enough.
pub(crate) fn encode<T: Serialize + ?Sized>(what: &'static str, value: &T, limit: usize) -> Result<String> {
    let text = serde_json::to_string(value).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, format!("the {what} cannot be written as JSON"))
            .with_source(error)
    })?;
    check_size(what, text.len(), limit)?;
    Ok(text)
}

/// The beginning of a text, at most so many bytes.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_the_limit_passes_and_one_byte_more_does_not() {
        assert!(check_name("queue", &"q".repeat(MAX_NAME_BYTES), MAX_NAME_BYTES).is_ok());
        assert!(check_name("queue", &"q".repeat(MAX_NAME_BYTES + 1), MAX_NAME_BYTES).is_err());
        assert!(check_name("queue", "", MAX_NAME_BYTES).is_err());
        assert!(check_name("queue", "a\nb", MAX_NAME_BYTES).is_err());
        let text = "x".repeat(MAX_SIGNAL_BYTES - 2);
        assert!(encode("payload", &text, MAX_SIGNAL_BYTES).is_ok());
        let error = encode("payload", &format!("{text}x"), MAX_SIGNAL_BYTES).unwrap_err();
        let (what, size, limit) = ("payload", MAX_SIGNAL_BYTES + 1, MAX_SIGNAL_BYTES);
        assert_eq!(*error.kind(), ErrorKind::TooLarge { what, size, limit });
    }

    #[test]
    fn a_cut_keeps_characters_whole() {
        assert_eq!(cut("aß", 2), "a");
        assert_eq!(cut("aß", 3), "aß");
        assert_eq!(cut("aß", 9), "aß");
    }
}
