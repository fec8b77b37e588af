//! `check = TYPE keyword=value …`, and the options at the end of a `real` line.

use super::diagnostic::Diagnostic;
use super::foreign;
use super::keywords::{self, Key, Scope};
use super::settings::{Settings, Value};
use super::values::{Context, value};

/// A whole `check` line.
pub(super) fn check(text: &str, context: &mut Context<'_>) -> Option<Settings> {
    let (kind, rest) = text
        .split_once(|char: char| char.is_whitespace())
        .unwrap_or((text, ""));
    let keyword = keywords::find("checktype")?;
    let mut settings = Settings::default();
    let kind = value(keyword, kind, context);
    let options = options(rest, Scope::CHECK, &mut settings, context);
    settings.push(Key::CheckType, context.line, kind?);
    options.then_some(settings)
}

/// Options that a scope takes; whether all of them are right.
pub(super) fn options(
    text: &str,
    scope: Scope,
    settings: &mut Settings,
    context: &mut Context<'_>,
) -> bool {
    let mut right = true;
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (option, after) = split_option(rest);
        rest = after;
        right &= parse_option(option, scope, settings, context).is_some();
    }
    right
}

fn parse_option(
    option: &str,
    scope: Scope,
    settings: &mut Settings,
    context: &mut Context<'_>,
) -> Option<()> {
    let Some((name, text)) = option.split_once('=') else {
        context.error(format!("\"{option}\" is no option"), "keyword=value");
        return None;
    };
    let known = keywords::find(name).filter(|keyword| keyword.scope.has(scope));
    let Some(keyword) = known else {
        let names: Vec<_> = keywords::all()
            .filter(|keyword| keyword.scope.has(scope))
            .map(|keyword| keyword.name)
            .collect();
        let mut error = Diagnostic::error(context.line, format!("\"{name}\" is no option here"))
            .expected(format!("one of {}", names.join(", ")));
        if let Some(here) = foreign::keyword(name) {
            error = error.hint(here);
        }
        context.diagnostics.push(error);
        return None;
    };
    // There is no end of a value but the blank, so the quotes may be left out where there is none.
    let quoted = if text.starts_with('"') {
        text.to_owned()
    } else {
        format!("\"{text}\"")
    };
    let value: Value = value(keyword, &quoted, context)?;
    settings.push(keyword.key, context.line, value);
    Some(())
}

/// The first option, and what follows. A quoted value goes to a quote that a blank follows.
fn split_option(text: &str) -> (&str, &str) {
    let blank = text
        .find(|char: char| char.is_whitespace())
        .unwrap_or(text.len());
    let end = match text.find("=\"") {
        Some(at) if at < blank => {
            let begin = at + 2;
            text[begin..]
                .match_indices('"')
                .map(|(quote, _)| begin + quote + 1)
                .find(|end| text[*end..].is_empty() || text[*end..].starts_with([' ', '\t']))
                .unwrap_or(blank)
        }
        _ => blank,
    };
    (&text[..end], text[end..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_option_may_have_blanks_and_quotes() {
        assert_eq!(split_option("a=b c=d"), ("a=b", "c=d"));
        assert_eq!(split_option("a=\"b c\" d"), ("a=\"b c\"", "d"));
        assert_eq!(split_option("a=\"b\"c\"  d"), ("a=\"b\"c\"", "d"));
        assert_eq!(split_option("a=\"b c"), ("a=\"b", "c"));
    }
}
