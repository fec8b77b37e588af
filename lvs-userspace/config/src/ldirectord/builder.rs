//! One section on its way to a virtual service: its scopes, the names of the file, its diagnostics.

use std::net::IpAddr;

use lvs_api::model::{Family, Protocol};

use super::additions::Additions;
use super::address::Port;
use super::diagnostic::Diagnostic;
use super::keywords::Key;
use super::names::Names;
use super::reader::Section;
use super::settings::Settings;

/// One section on its way to a virtual service.
pub(super) struct Builder<'a> {
    pub(super) globals: &'a Settings,
    pub(super) section: &'a Section,
    pub(super) names: &'a Names,
    pub(super) additions: &'a Additions,
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
}

impl Builder<'_> {
    /// The line of a keyword of this section, else of the section.
    pub(super) fn line(&self, key: Key) -> usize {
        let entry = self.section.settings.get(key);
        entry.map_or(self.section.line, |entry| entry.line)
    }

    pub(super) fn error(&mut self, line: usize, problem: impl Into<String>, expected: &str) {
        let error = Diagnostic::error(line, problem);
        self.diagnostics.push(if expected.is_empty() {
            error
        } else {
            error.expected(expected)
        });
    }

    /// The address of a host; if there is none, that is reported.
    pub(super) fn address(&mut self, host: &str, line: usize, whose: &str) -> Option<IpAddr> {
        let family = self.section.family;
        match self.names.address(host, family) {
            Ok(address) => Some(address),
            Err(reason) => {
                let problem = format!(
                    "invalid address ({host}) for {whose} (could not resolve host: {reason})"
                );
                let expected = match family {
                    Family::Ipv4 => "an IPv4 address, or a host name that has one",
                    Family::Ipv6 => "an IPv6 address, or a host name that has one",
                };
                self.error(line, problem, expected);
                None
            }
        }
    }

    /// The number of a port; if there is none, that is reported.
    pub(super) fn port(
        &mut self,
        port: &Port,
        protocol: Protocol,
        line: usize,
        whose: &str,
    ) -> Option<u16> {
        let number = port.number(protocol);
        if number.is_none() {
            let name = port.text();
            let problem = format!("invalid port ({name}) for {whose} (could not resolve port)");
            self.error(line, problem, "0 to 65535, or a name in /etc/services");
        }
        number
    }
}
