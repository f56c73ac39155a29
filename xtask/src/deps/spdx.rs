//! Licence expressions: `MIT OR (Apache-2.0 AND BSD-3-Clause)`, and the older `MIT/Apache-2.0`.

/// Whether the licences that are allowed satisfy the expression.
pub(super) fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool, &'static str> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = Words { words: spaced.split_whitespace().collect(), at: 0 };
    let answer = either(&mut words, allowed)?;
    if words.peek().is_some() { Err("there is something after its end") } else { Ok(answer) }
}

struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }
}

fn either(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> Result<bool, &'static str> {
    let mut answer = both(words, allowed)?;
    while words.take("OR") {
        answer |= both(words, allowed)?;
    }
    Ok(answer)
}

fn both(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> Result<bool, &'static str> {
    let mut answer = one(words, allowed)?;
    while words.take("AND") {
        answer &= one(words, allowed)?;
    }
    Ok(answer)
}

fn one(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> Result<bool, &'static str> {
    if words.take("(") {
        let answer = either(words, allowed)?;
        return if words.take(")") { Ok(answer) } else { Err("a parenthesis is not closed") };
    }
    let name = words.peek().filter(|word| !matches!(*word, "OR" | "AND" | "WITH" | ")"));
    let name = name.ok_or("a licence is missing")?;
    words.at += 1;
    if words.take("WITH") {
        let exception = words.peek().ok_or("an exception is missing")?;
        words.at += 1;
        return Ok(allowed(&format!("{name} WITH {exception}")));
    }
    Ok(allowed(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: Result<bool, ()>) {
        let allowed = |name: &str| matches!(name, "MIT" | "BSD-3-Clause" | "Apache-2.0 WITH LLVM-exception");
        assert_eq!(satisfied(expression, &allowed).map_err(drop), expected, "{expression}");
    }

    #[test]
    fn expressions() {
        check("MIT", Ok(true));
        check("GPL-3.0-only", Ok(false));
        check("GPL-3.0-only OR MIT", Ok(true));
        check("GPL-3.0-only/MIT", Ok(true));
        check("MIT AND GPL-3.0-only", Ok(false));
        check("GPL-3.0-only OR MIT AND BSD-3-Clause", Ok(true));
        check("(GPL-3.0-only OR MIT) AND ISC", Ok(false));
        check("Apache-2.0 WITH LLVM-exception", Ok(true));
        check("Apache-2.0", Ok(false));
        for broken in ["", "MIT OR", "(MIT", "MIT)", "MIT BSD-3-Clause", "OR MIT", "MIT WITH"] {
            check(broken, Err(()));
        }
    }
}
