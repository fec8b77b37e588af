//! Lines: comments, indentation, `keyword = value`.

/// Longest line that is read, in bytes.
pub(super) const LONGEST_LINE: usize = 16 * 1024;

/// A line that is neither empty nor a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    /// Belongs to the virtual service above.
    ///
    /// ldirectord asks for four columns, and takes a line with fewer for an unknown keyword: here any
    /// indentation is one, and empty lines between do no harm.
    pub(super) indented: bool,
    /// Left of the first `=`, or the whole.
    pub(super) keyword: &'a str,
    /// Right of it, without blanks around; none: there is no `=`.
    pub(super) value: Option<&'a str>,
}

/// The lines that are neither empty nor a comment.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    (1..).zip(text.lines()).filter_map(|(number, line)| {
        let text = without_comment(line).trim();
        if text.is_empty() {
            return None;
        }
        let (keyword, value) = match text.split_once('=') {
            Some((keyword, value)) => (keyword.trim_end(), Some(value.trim_start())),
            None => (text, None),
        };
        Some(Line {
            number,
            indented: line.starts_with([' ', '\t']),
            keyword,
            value,
        })
    })
}

/// The text before the `#` of a comment. One inside double quotes begins none, unless the quotes
/// never end.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, char) in line.char_indices() {
        match char {
            '"' => quoted = !quoted,
            '#' if !quoted || !line[at..].contains('"') => return &line[..at],
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_begins_outside_quotes() {
        for (line, said) in [
            ("# all", ""),
            ("  # all", "  "),
            ("a = 1 # one", "a = 1 "),
            ("a = \"x#y\" # z", "a = \"x#y\" "),
            ("a = 5\" disk # z", "a = 5\" disk "),
            ("a = \"x#y", "a = \"x"),
        ] {
            assert_eq!(without_comment(line), said);
        }
    }

    #[test]
    fn a_line_is_a_keyword_and_a_value() {
        let text = "\u{feff}checkinterval= 5 \r\n\n\t request = \"/?a=b\"\r\n    \nsupervised\n";
        let read: Vec<_> = lines(text)
            .map(|line| (line.number, line.indented, line.keyword, line.value))
            .collect();
        assert_eq!(
            read,
            [
                (1, false, "checkinterval", Some("5")),
                (3, true, "request", Some("\"/?a=b\"")),
                (5, false, "supervised", None),
            ]
        );
    }
}
