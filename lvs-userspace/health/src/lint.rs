//! Options of a health check that are valid and yet unlikely to do what was meant.

/// The lint of one check: the keywords that are written, and the findings.
#[derive(Debug, Default)]
pub struct Lint {
    /// `service` is written.
    pub has_service: bool,
    /// `receive` is written.
    pub has_receive: bool,
    /// `verify` is written.
    pub has_verify: bool,
    /// Port of the virtual service; none: it is a firewall mark.
    pub virtual_port: Option<u16>,
    /// Problems, and what to do about each.
    pub findings: Vec<(String, &'static str)>,
}

impl Lint {
    /// Adds a problem, and what to do about it.
    pub(super) fn warn(&mut self, problem: impl Into<String>, hint: &'static str) {
        self.findings.push((problem.into(), hint));
    }
}
