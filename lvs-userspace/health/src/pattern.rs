//! Patterns that answers are compared with: `receive`.

use std::fmt;
use std::hash::{Hash, Hasher};

use fancy_regex::{Regex, RegexBuilder};

mod perl;

/// Steps back of a search at most: look-around and back references can make it exponential, and
/// the text comes from the network. Patterns without those need none.
const STEPS_BACK: usize = 1_000_000;
/// Bytes of a compiled pattern at most.
const COMPILED_SIZE: usize = 1 << 20;
/// Bytes of the text of a pattern at most.
const LONGEST: usize = 4096;

/// A regular expression, as Perl has them, that must match; or, if negative, must not.
///
/// Two are equal if their text is.
#[derive(Clone)]
pub struct Pattern {
    expression: String,
    negative: bool,
    regex: Regex,
}

/// The reason why an expression is none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not written as one.
    #[error("{0}")]
    Syntax(String),
    /// It is longer than the longest allowed one.
    #[error("longer than {LONGEST} bytes")]
    TooLong,
}

impl Pattern {
    /// Compiles an expression; a match of a `negative` one is bad.
    pub fn compile(expression: &str, negative: bool) -> Result<Self, Error> {
        if expression.len() > LONGEST {
            return Err(Error::TooLong);
        }
        let regex = RegexBuilder::new(&perl::translate(expression))
            .backtrack_limit(STEPS_BACK)
            .delegate_size_limit(COMPILED_SIZE)
            .build()
            .map_err(|error| Error::Syntax(error.to_string()))?;
        Ok(Self {
            expression: expression.to_owned(),
            negative,
            regex,
        })
    }

    /// The expression as it was written.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// A match is bad.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// The answer is as it has to be: it matches, or does not match a negative pattern.
    ///
    /// Bytes that are no UTF-8 count as U+FFFD. A search of too many steps ends, and the answer is
    /// not as it has to be.
    pub fn accepts(&self, answer: &[u8]) -> bool {
        let text = String::from_utf8_lossy(answer);
        self.regex
            .is_match(&*text)
            .is_ok_and(|matches| matches != self.negative)
    }
}

impl fmt::Display for Pattern {
    /// The expectation as a phrase: `"OK"`, `not "error"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.negative { "not " } else { "" };
        write!(f, "{not}\"{}\"", self.expression)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({self})")
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression && self.negative == other.negative
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expression.hash(state);
        self.negative.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepts(expression: &str, answer: &str) -> bool {
        Pattern::compile(expression, false)
            .unwrap_or_else(|error| panic!("{expression}: {error}"))
            .accepts(answer.as_bytes())
    }

    #[test]
    fn expressions_mean_what_perl_makes_of_them() {
        // Each was tried with Perl 5.36: `$answer =~ /$expression/`.
        for (expression, answer, expected) in [
            ("test page", "<p>the test page</p>", true),
            ("Test", "test", false),
            ("(?i)Test", "test", true),
            ("^OK$", "OK\n", true),
            ("^OK$", "OK\r\n", false),
            ("^OK$", "OK\nmore", false),
            ("(?m)^OK$", "no\nOK\nmore", true),
            ("^OK\\z", "OK\n", false),
            ("^OK\\Z", "OK\n", true),
            ("a|b$", "b\n", true),
            ("cost: \\$5", "cost: $5", true),
            ("[$]5", "cost: $5", true),
            ("{\"status\":\"ok\"}", "{\"status\":\"ok\"}", true),
            ("o{2}", "foo", true),
            ("o{2,}", "foo", true),
            ("o{2,3}b", "fooob", true),
            ("x{,a", "x{,a", true),
            ("[[]x[]]", "[x]", true),
            ("[a&&b]", "&", true),
            ("o{,2}b", "oob", true),
            ("[+--]", ",", true),
            ("[\\w-]", "-", true),
            ("a]", "a]", true),
            ("a}", "a}", true),
            ("[[:digit:]]+", "42", true),
            ("[^]]x", "ax", true),
            ("\\Aup", "up", true),
            ("up(?! to date)", "up to date", false),
            ("(?<!not )up", "not up", false),
            ("(.)\\1", "book", true),
            ("(?<q>.)\\k<q>", "book", true),
            ("(?>a+)b", "aab", true),
            ("a++b", "aab", true),
            ("\\x{4f}K", "OK", true),
            ("\\x4fK", "OK", true),
            ("\\p{Lu}K", "OK", true),
            ("\\bup\\b", "is up.", true),
            ("a.b", "a\nb", false),
            ("(?s)a.b", "a\nb", true),
            ("a\\/b", "a/b", true),
            ("<b>\\\"x\\\"", "<b>\"x\"", true),
            ("\\@a \\_ \\% \\- \\<", "@a _ % - <", true),
            ("\\Ka", "a", true),
            ("\\R", "\r\n", true),
            ("a\\h", "a\t", true),
            ("a(?#comment)b", "ab", true),
        ] {
            assert_eq!(
                accepts(expression, answer),
                expected,
                "{expression} {answer:?}"
            );
        }
    }

    #[test]
    fn a_match_of_a_negative_pattern_is_bad() {
        let pattern = Pattern::compile("error", true).unwrap();
        assert!(pattern.accepts(b"fine"));
        assert!(!pattern.accepts(b"an error"));
        assert_eq!(pattern.to_string(), "not \"error\"");
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for expression in ["(", "[a", "*", "(?<x", "\\"] {
            let compiled = Pattern::compile(expression, false);
            if let Ok(pattern) = compiled {
                panic!("{pattern:?}");
            }
        }
        assert!(Pattern::compile(&"a".repeat(LONGEST + 1), false).is_err());
    }

    #[test]
    fn a_search_without_end_is_given_up() {
        let long = "a".repeat(10_000);
        for negative in [false, true] {
            let pattern = Pattern::compile("(?:(a+)\\1*)+(?=b)c\\1", negative).unwrap();
            assert!(!pattern.accepts(long.as_bytes()));
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_not_hide_the_rest() {
        let pattern = Pattern::compile("OK", false).unwrap();
        assert!(pattern.accepts(b"\xff\xfe OK \x80"));
    }

    proptest! {
        #[test]
        fn no_expression_and_no_answer_does_harm(
            expression in "[\\PC\\n]{0,30}", answer in prop::collection::vec(any::<u8>(), 0..100)
        ) {
            if let Ok(pattern) = Pattern::compile(&expression, false) {
                pattern.accepts(&answer);
            }
        }
    }
}
