//! Golden files: expected text that a person reviews and one command refreshes.

use std::path::Path;

/// Compares a text with a file; with `MAINSTAY_GOLDEN=refresh` it writes the file instead.
///
/// # Panics
/// When they differ, with the first line that does, or when the file cannot be read or written.
pub fn check(file: impl AsRef<Path>, actual: &str) {
    let file = file.as_ref();
    if crate::environment::refreshes_golden() {
        return refresh(file, actual);
    }
    let expected = std::fs::read_to_string(file).unwrap_or_else(|error| {
        panic!("{} cannot be read: {error}; write it with MAINSTAY_GOLDEN=refresh", file.display())
    });
    if let Some(difference) = first_difference(&expected, actual) {
        panic!(
            "{} differs at {difference}; if the new text is right, write it with MAINSTAY_GOLDEN=refresh",
            file.display()
        );
    }
}

fn refresh(file: &Path, actual: &str) {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).expect("the golden file's directory can be made");
    }
    std::fs::write(file, actual).expect("the golden file can be written");
}

/// The first line in which two texts differ.
fn first_difference(expected: &str, actual: &str) -> Option<String> {
    if expected == actual {
        return None;
    }
    let (mut wanted, mut got) = (expected.lines(), actual.lines());
    for number in 1.. {
        match (wanted.next(), got.next()) {
            (None, None) => return Some("the end of the last line".to_owned()),
            (wanted, got) if wanted != got => {
                return Some(format!("line {number}:\n  expected {wanted:?}\n  actual   {got:?}"));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert!(first_difference("a\nb\n", "a\nc\n").unwrap().starts_with("line 2:"));
        assert!(first_difference("a\n", "a\nb\n").unwrap().contains("expected None"));
        assert_eq!(first_difference("a\n", "a").unwrap(), "the end of the last line");
    }

    #[test]
    #[should_panic(expected = "MAINSTAY_GOLDEN=refresh")]
    fn a_missing_file_says_how_it_is_made() {
        check("no-such-directory/no-such-file", "");
    }
}
