//! Words that have no place here: paths of one machine, and names of the place where a change was made.

use super::Finding;
use super::tree::Tree;

/// In halves, so that this file does not hold them.
const WORDS: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/tmp/ba", "sh_jobs"),
    ("sub", "agent"),
    ("sub-", "agent"),
    ("arti", "factory"),
    ("clau", "de"),
    ("anth", "ropic"),
    ("language ", "model"),
];

/// Reads every text file.
pub(super) fn findings(files: &Tree) -> Vec<Finding> {
    files.iter().flat_map(|(path, text)| of_file(path, text)).collect()
}

fn of_file(path: &str, text: &str) -> Vec<Finding> {
    let words: Vec<String> = WORDS.iter().map(|(head, tail)| format!("{head}{tail}")).collect();
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let lower = line.to_lowercase();
        let found = words.iter().filter(|word| contains_word(&lower, word));
        let place = format!("{path}:{}", number + 1);
        findings.extend(found.map(|word| {
            Finding::new("words", &place, format!("`{word}` is of a workplace, not of the project"))
        }));
    }
    findings
}

/// A path of a machine starts where no other path goes on, so that `docs/` and a host may have such a part.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        !word.starts_with('/') || !before.is_some_and(|c| c.is_alphanumeric() || "._-}".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: usize) {
        assert_eq!(of_file("a.md", line).len(), expected, "{line}");
    }

    #[test]
    fn no_word_of_the_workplace_is_kept() {
        for (head, tail) in WORDS {
            check(&format!("see {head}{tail} there"), 1);
        }
        check(&format!("\"{}/main\"", "/work"), 1);
        check(&format!("Made by {}DE", "CLAU"), 1);
    }

    #[test]
    fn longer_paths_and_other_words_are_free() {
        check("docs/work/plan.md", 0);
        check("https://example.org/work/", 0);
        check("the user agent and its session", 0);
    }
}
