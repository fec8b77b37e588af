//! Expressions that Perl reads otherwise than the engine does.
//!
//! * `$` also matches before a line feed that ends the text (perlre, "Metacharacters").
//! * `{` that begins no quantifier stands for itself (perlre, "Quantifiers").
//! * `{,3}` is a quantifier.
//! * `\<` and `\>` stand for themselves, `\h` is a blank or a tab, `\R` a line's end.
//! * `[` inside a class stands for itself unless a POSIX class begins there, and `&&`, `--`, `~~` are
//!   no operators (perlrecharclass).

use std::iter::Peekable;
use std::str::Chars;

/// The expression as the engine has to get it.
pub(super) fn translate(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len() + 8);
    let mut rest = expression.chars().peekable();
    let lines = multi_line(expression);
    while let Some(char) = rest.next() {
        match char {
            '\\' => escape(&mut rest, &mut out),
            '[' => class(&mut rest, &mut out),
            '$' if !lines => out.push_str("(?=\\n?\\z)"),
            '{' if !quantifier(rest.clone()) => out.push_str("\\{"),
            '{' if rest.peek() == Some(&',') => out.push_str("{0"),
            char => out.push(char),
        }
    }
    out
}

/// Returns whether flags in the expression give `$` another meaning: then it is left to the engine.
fn multi_line(expression: &str) -> bool {
    expression.match_indices("(?").any(|(at, begin)| {
        expression[at + begin.len()..]
            .chars()
            .take_while(char::is_ascii_lowercase)
            .any(|flag| flag == 'm')
    })
}

/// An escape, with the braces that belong to it: `\x{4f}`, `\p{Lu}`.
fn escape(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    let Some(char) = rest.next() else {
        out.push('\\');
        return;
    };
    match char {
        '<' | '>' => {}
        'R' => return out.push_str("(?:\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])"),
        'h' => return out.push_str("[\\t ]"),
        'H' => return out.push_str("[^\\t ]"),
        _ => out.push('\\'),
    }
    out.push(char);
    if matches!(char, 'x' | 'p' | 'P' | 'g' | 'k' | 'u') && rest.peek() == Some(&'{') {
        for char in rest.by_ref() {
            out.push(char);
            if char == '}' {
                break;
            }
        }
    }
}

/// A class, after its `[`.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    if rest.peek() == Some(&'^') {
        out.extend(rest.next());
    }
    // A `]` at the beginning stands for itself.
    if rest.peek() == Some(&']') {
        rest.next();
        out.push_str("\\]");
    }
    while let Some(char) = rest.next() {
        match char {
            ']' => {
                out.push(']');
                return;
            }
            '\\' => escape(rest, out),
            '[' if rest.peek() == Some(&':') && posix(rest.clone()) => {
                out.push('[');
                // Up to `:]`, which is there.
                while let Some(char) = rest.next() {
                    out.push(char);
                    if char == ':' && rest.peek() == Some(&']') {
                        out.extend(rest.next());
                        break;
                    }
                }
            }
            '[' => out.push_str("\\["),
            '&' | '~' => {
                out.push('\\');
                out.push(char);
            }
            // A range that ends with the hyphen itself.
            '-' if rest.next_if_eq(&'-').is_some() => out.push_str("-\\-"),
            char => out.push(char),
        }
    }
}

/// Returns whether a POSIX class begins here, after its `[`: `:name:]`.
fn posix(mut rest: Peekable<Chars<'_>>) -> bool {
    rest.next();
    if rest.peek() == Some(&'^') {
        rest.next();
    }
    while rest.next_if(char::is_ascii_lowercase).is_some() {}
    rest.next() == Some(':') && rest.next() == Some(']')
}

/// Returns whether a quantifier begins here, after its `{`: `2}`, `2,}`, `2,3}`, `,3}`.
fn quantifier(mut rest: Peekable<Chars<'_>>) -> bool {
    let digits = |rest: &mut Peekable<Chars<'_>>| {
        let mut any = false;
        while rest.next_if(char::is_ascii_digit).is_some() {
            any = true;
        }
        any
    };
    let least = digits(&mut rest);
    let most = rest.next_if_eq(&',').is_some() && digits(&mut rest);
    (least || most) && rest.next() == Some('}')
}
