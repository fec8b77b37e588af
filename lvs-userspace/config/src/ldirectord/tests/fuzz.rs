//! No text does harm, and each error has a line of it.

use proptest::prelude::*;

use super::super::keywords;
use super::parse;

/// A file in which everything is right.
const WHOLE: &str = include_str!("../../../../../docs/examples/shop.cf");

fn harmless(text: &str) {
    let reading = parse(text);
    let wrong = reading.diagnostics.iter().any(super::Diagnostic::is_error);
    assert_eq!(wrong, reading.configuration.is_none(), "{text}");
    let lines = text.lines().count().max(1);
    for found in &reading.diagnostics {
        assert!((1..=lines).contains(&found.line), "{text}\n{found:?}");
        assert!(!found.problem.is_empty());
    }
}

/// A line with a keyword that there is.
fn line() -> impl Strategy<Value = String> {
    let names: Vec<_> = keywords::all().map(|keyword| keyword.name).collect();
    let values: Vec<_> = keywords::all()
        .filter_map(|keyword| keyword.example.split_once('=').map(|(_, value)| value))
        .collect();
    (
        prop::sample::select(vec!["", "    ", "\t", " "]),
        prop::sample::select(names),
        prop_oneof![
            prop::sample::select(values).prop_map(str::to_owned),
            "[ -~]{0,40}",
            "\\PC{0,20}",
        ],
    )
        .prop_map(|(indentation, name, value)| format!("{indentation}{name} = {value}\n"))
}

proptest! {
    #[test]
    fn any_text(text in "(\\PC|[\\n\\t\\r\" =#]){0,200}") {
        harmless(&text);
    }

    #[test]
    fn any_lines(lines in prop::collection::vec(line(), 0..20)) {
        harmless(&format!("virtual = 192.0.2.10:80\n{}", lines.concat()));
    }

    #[test]
    fn a_right_file_with_something_else_in_one_place(
        at in 0..WHOLE.len(), length in 0..8usize, other in "\\PC{0,4}"
    ) {
        let begin = WHOLE.floor_char_boundary(at);
        let end = WHOLE.ceil_char_boundary((at + length).min(WHOLE.len()));
        harmless(&format!("{}{other}{}", &WHOLE[..begin], &WHOLE[end..]));
    }
}
