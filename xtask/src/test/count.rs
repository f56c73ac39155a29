//! How many tests passed: read from what nextest and the standard harness print.

use std::fmt;

/// Whose words to believe: a failed test shows what it printed, and that may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runner {
    /// One summary, at the end.
    Nextest,
    /// One summary for each test binary, from the first column.
    Harness,
}

/// Tests by outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Counts {
    /// Takes in what a line of output says, if it is a summary.
    pub(super) fn read_line(&mut self, runner: Runner, line: &str) {
        match runner {
            Runner::Nextest => self.read_nextest(line),
            Runner::Harness => self.read_harness(line),
        }
    }

    /// `Summary [   0.012s] 10 tests run: 7 passed (1 slow), 2 failed, 1 timed out, 0 skipped`
    fn read_nextest(&mut self, line: &str) {
        let summary = line.trim_start().strip_prefix("Summary [");
        if let Some((_, counts)) = summary.and_then(|summary| summary.split_once(" run: ")) {
            *self = Self::default();
            self.add_counts(without_parentheses(counts).split(", "));
        }
    }

    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
    fn read_harness(&mut self, line: &str) {
        let result = line.strip_prefix("test result: ");
        if let Some((_, counts)) = result.and_then(|result| result.split_once(". ")) {
            self.add_counts(counts.split("; "));
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

    fn check(runner: Runner, lines: &[&str], good: bool, expected: &str, verdict: bool) {
        let mut counts = Counts::default();
        lines.iter().for_each(|line| counts.read_line(runner, line));
        let counts = counts.settled(good);
        assert_eq!((counts.to_string().as_str(), counts.good()), (expected, verdict), "{lines:?}");
    }

    const OK: &str =
        "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
    const BAD: &str =
        "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s";

    #[test]
    fn nextest() {
        let all = "     Summary [   0.012s] 10 tests run: 10 passed, 0 skipped";
        let one = "     Summary [   0.012s] 1 test run: 1 passed, 0 skipped";
        let some = "     Summary [   1.012s] 11/12 tests run: 7 passed (1 slow, 1 flaky), 2 failed, \
                    1 timed out, 1 exec failed, 3 skipped";
        check(Runner::Nextest, &[all], true, "10 passed, 0 failed", true);
        check(Runner::Nextest, &[one], true, "1 passed, 0 failed", true);
        check(Runner::Nextest, &[some], false, "7 passed, 4 failed, 3 skipped", false);
    }

    #[test]
    fn the_standard_harness() {
        check(Runner::Harness, &["running 4 tests", OK, OK], true, "6 passed, 0 failed, 2 skipped", true);
        check(Runner::Harness, &[OK, BAD], false, "4 passed, 2 failed, 1 skipped", false);
    }

    #[test]
    fn what_a_failed_test_printed_is_not_counted() {
        let shown = format!("    {BAD}");
        let summary = "     Summary [   0.012s] 3 tests run: 2 passed, 1 failed, 0 skipped";
        check(Runner::Nextest, &[BAD, &shown, summary, &shown], false, "2 passed, 1 failed", false);
        check(Runner::Harness, &[&shown, OK, summary], true, "3 passed, 0 failed, 1 skipped", true);
    }

    #[test]
    fn a_stage_that_could_not_run_is_a_failure() {
        for runner in [Runner::Nextest, Runner::Harness] {
            check(runner, &["error: could not compile"], false, "0 passed, 1 failed", false);
        }
        check(Runner::Harness, &[OK], false, "3 passed, 1 failed, 1 skipped", false);
    }

    #[test]
    fn no_test_is_no_success() {
        let none = "     Summary [   0.000s] 0 tests run: 0 passed, 0 skipped";
        check(Runner::Nextest, &[none], true, "0 passed, 0 failed", false);
    }
}
