//! The daemon's configuration file: `ldirectord.cf`, or the lines of `ipvsadm -S`.

use std::io;
use std::path::Path;

pub mod ldirectord;
pub mod lint;
pub mod prefixes;
pub mod rules;
pub mod text;

/// Kind of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lines of `ipvsadm -S`: virtual services without health checks.
    Rules,
    /// `ldirectord.cf`: virtual services with health checks.
    Ldirectord,
}

/// Recognizes the kind of a file by its first line that is neither empty nor a comment: rules begin with
/// `-`. A text without such a line is rules: none.
pub fn kind(text: &str) -> Kind {
    let first = text
        .lines()
        .map(|line| line.trim_start_matches('\u{feff}').trim())
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    match first {
        Some(line) if !line.starts_with('-') => Kind::Ldirectord,
        _ => Kind::Rules,
    }
}

/// The same for a file.
pub fn kind_of(path: &Path) -> io::Result<Kind> {
    Ok(kind(&text::read(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_says_something_tells_the_kind() {
        assert_eq!(kind(""), Kind::Rules);
        assert_eq!(kind("# web\n\n-A -t 192.0.2.1:80\n"), Kind::Rules);
        assert_eq!(
            kind("\u{feff}# -A\n\ncheckinterval = 5\n"),
            Kind::Ldirectord
        );
    }
}
