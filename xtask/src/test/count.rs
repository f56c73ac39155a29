//! How many tests passed: read from what nextest and the standard harness print.

use std::fmt;

/// Tests by outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    /// Adds what a line of output says, if it is a summary.
    pub(super) fn add_line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(result) = line.strip_prefix("test result: ") {
            // test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
            let counts = result.split_once(". ").map_or("", |(_, counts)| counts);
            self.add_counts(counts.split("; "));
        } else if let Some((_, counts)) = line.split_once(" run: ").filter(|_| line.starts_with("Summary ["))
        {
            // Summary [   0.012s] 10 tests run: 7 passed (1 slow), 2 failed, 1 timed out, 0 skipped
            self.add_counts(without_parentheses(counts).split(", "));
        }
    }

    fn add_counts<'a>(&mut self, parts: impl Iterator<Item = &'a str>) {
        for part in parts {
            let Some((number, outcome)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match outcome.trim() {
                "passed" => self.passed += number,
                "failed" | "timed out" | "exec failed" => self.failed += number,
                "skipped" | "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// The counts of a stage that has ended: one that failed without a failed test counts as one.
    pub(super) fn settled(mut self, good: bool) -> Self {
        if !good && self.failed == 0 {
            self.failed = 1;
        }
        self
    }

    /// Adds another stage.
    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Whether something ran and nothing failed.
    pub(super) fn good(self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// `7 passed (1 slow, 1 flaky), 2 failed` without the remarks.
fn without_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    let mut kept = String::new();
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            c if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], good: bool, expected: &str, verdict: bool) {
        let mut counts = Counts::default();
        lines.iter().for_each(|line| counts.add_line(line));
        let counts = counts.settled(good);
        assert_eq!((counts.to_string().as_str(), counts.good()), (expected, verdict), "{lines:?}");
    }

    #[test]
    fn nextest() {
        check(
            &["     Summary [   0.012s] 10 tests run: 10 passed, 0 skipped"],
            true,
            "10 passed, 0 failed",
            true,
        );
        check(
            &[
                "     Summary [   1.012s] 11/12 tests run: 7 passed (1 slow, 1 flaky), 2 failed, 1 timed out, 1 exec failed, 3 skipped",
            ],
            false,
            "7 passed, 4 failed, 3 skipped",
            false,
        );
        check(
            &["     Summary [   0.012s] 1 test run: 1 passed, 0 skipped"],
            true,
            "1 passed, 0 failed",
            true,
        );
    }

    #[test]
    fn the_standard_harness() {
        let ok =
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let bad =
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s";
        check(&["running 4 tests", ok, ok], true, "6 passed, 0 failed, 2 skipped", true);
        check(&[ok, bad], false, "4 passed, 2 failed, 1 skipped", false);
    }

    #[test]
    fn a_stage_that_could_not_run_is_a_failure() {
        check(&["error: could not compile"], false, "0 passed, 1 failed", false);
        let ok =
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        check(&[ok], false, "3 passed, 1 failed", false);
    }

    #[test]
    fn no_test_is_no_success() {
        check(
            &["     Summary [   0.000s] 0 tests run: 0 passed, 0 skipped"],
            true,
            "0 passed, 0 failed",
            false,
        );
    }
}
