//! Which paths an archive may have.

use crate::oci::limits::{MAX_NAME, MAX_PATH, MAX_PATH_DEPTH};
use crate::oci::refusal::EntryRefusal;

/// The names of a relative path that stays where it is; none for the root (`./`).
///
/// # Errors
/// What makes the path unacceptable.
pub(crate) fn clean_path(path: &[u8]) -> Result<Vec<&[u8]>, EntryRefusal> {
    if path.is_empty() {
        return Err(EntryRefusal::Empty);
    }
    if path.len() > MAX_PATH {
        return Err(EntryRefusal::PathTooLong);
    }
    if path.contains(&0) {
        return Err(EntryRefusal::Nul);
    }
    // Some programs write the root, and only that, as they call it themselves.
    if path.first() == Some(&b'/') && path.iter().any(|octet| *octet != b'/') {
        return Err(EntryRefusal::Absolute);
    }
    let mut names = Vec::new();
    for name in path.split(|octet| *octet == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(EntryRefusal::Traversal),
            name if name.len() > MAX_NAME => return Err(EntryRefusal::NameTooLong),
            name => names.push(name),
        }
    }
    if names.len() > MAX_PATH_DEPTH {
        return Err(EntryRefusal::TooDeep);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &[u8], expected: Result<&str, EntryRefusal>) {
        let found = clean_path(path).map(|names| names.join(&b'/'));
        let expected = expected.map(|path| path.as_bytes().to_vec());
        assert_eq!(found, expected, "{}", path.escape_ascii());
    }

    #[test]
    fn paths_stay_below_the_root() {
        check(b"etc/motd", Ok("etc/motd"));
        check(b"./etc//motd/", Ok("etc/motd"));
        check(b"./", Ok(""));
        check(b"/", Ok(""));
        check(b"..a/b..", Ok("..a/b.."));
        check(b"", Err(EntryRefusal::Empty));
        check(b"/etc", Err(EntryRefusal::Absolute));
        check(b"..", Err(EntryRefusal::Traversal));
        check(b"a/../../b", Err(EntryRefusal::Traversal));
        check(b"a/../b", Err(EntryRefusal::Traversal));
        check(b"a\0b", Err(EntryRefusal::Nul));
    }

    #[test]
    fn paths_end_at_their_limits() {
        let name = "n".repeat(MAX_NAME);
        check(name.as_bytes(), Ok(&name));
        check(format!("{name}n").as_bytes(), Err(EntryRefusal::NameTooLong));

        let long = format!("{}{}", "n/".repeat(200), "/".repeat(MAX_PATH - 400));
        check(long.as_bytes(), Ok("n/".repeat(200).trim_end_matches('/')));
        check(format!("{long}/").as_bytes(), Err(EntryRefusal::PathTooLong));

        let deep = "n/".repeat(MAX_PATH_DEPTH);
        check(deep.as_bytes(), Ok(deep.trim_end_matches('/')));
        check(format!("{deep}n").as_bytes(), Err(EntryRefusal::TooDeep));
    }
}
