//! Errors and warnings of a file.

use std::fmt;

/// Severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file can be used, but may not do what was meant.
    Warning,
    /// The file cannot be used.
    Error,
}

/// One thing that is wrong or doubtful.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Line of the file, from 1.
    pub line: usize,
    /// Its severity.
    pub severity: Severity,
    /// The problem.
    pub problem: String,
    /// The right form.
    pub expected: Option<String>,
    /// The way to repair it.
    pub hint: Option<String>,
    /// The file does what was meant all the same: `lvsd check` reports it, a start need not.
    pub harmless: bool,
}

impl Diagnostic {
    /// Something that makes the file unusable.
    pub(super) fn error(line: usize, problem: impl Into<String>) -> Self {
        Self {
            line,
            severity: Severity::Error,
            problem: problem.into(),
            expected: None,
            hint: None,
            harmless: false,
        }
    }

    /// Something doubtful.
    pub(super) fn warning(line: usize, problem: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(line, problem)
        }
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) const fn harmless(mut self) -> Self {
        self.harmless = true;
        self
    }

    /// The file cannot be used because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The line for people, as ldirectord writes it: `Error reading file F at line 3: …`.
    pub fn text<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            let severity = match self.severity {
                Severity::Warning => "Warning",
                Severity::Error => "Error",
            };
            write!(
                f,
                "{severity} reading file {file} at line {}: {self}",
                self.line
            )
        })
    }
}

impl fmt::Display for Diagnostic {
    /// Without file and line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}
