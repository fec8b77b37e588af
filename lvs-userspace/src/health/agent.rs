//! The agent of a real server: a line that says how much it wants, in the words of HAProxy's
//! agent-check.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::control::health::AdminState;

/// Longest line that is read.
const LONGEST: u64 = 1024;

/// What an agent said, all its lines together: a word stays in force until another takes it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Part of the configured weight.
    pub percent: u32,
    /// `ready`, `drain`, `maint`.
    pub admin: AdminState,
    /// `down`, `fail`, `stopped`; `up` takes it back.
    pub down: bool,
    /// What stood after `#`.
    pub reason: String,
}

impl Default for Report {
    /// Before it has said anything.
    fn default() -> Self {
        Self {
            percent: 100,
            admin: AdminState::Ready,
            down: false,
            reason: String::new(),
        }
    }
}

impl Report {
    /// Takes over what a line says; words that are none of an agent's, `maxconn:` among them, say
    /// nothing.
    pub fn read(&mut self, line: &str) {
        let line = line.lines().next().unwrap_or_default();
        let (words, reason) = line.split_once('#').unwrap_or((line, ""));
        let separates = |c: char| c == ',' || c.is_ascii_whitespace();
        for word in words.split(separates).filter(|word| !word.is_empty()) {
            match word.to_ascii_lowercase().as_str() {
                "ready" => self.admin = AdminState::Ready,
                "drain" => self.admin = AdminState::Drain,
                "maint" => self.admin = AdminState::Maint,
                "up" => self.down = false,
                "down" | "fail" | "failed" | "stopped" => self.down = true,
                word => {
                    let percent = word
                        .strip_suffix('%')
                        .and_then(|number| number.parse().ok());
                    self.percent = percent.map_or(self.percent, |percent: u32| percent.min(100));
                }
            }
        }
        reason.trim().clone_into(&mut self.reason);
    }
}

/// Asks an agent for its line.
pub async fn ask(address: SocketAddr, send: Option<&str>, limit: Duration) -> io::Result<String> {
    let conversation = async {
        let mut stream = TcpStream::connect(address).await?;
        if let Some(send) = send {
            stream.write_all(send.as_bytes()).await?;
        }
        let mut line = Vec::new();
        let mut reader = (&mut stream).take(LONGEST);
        while !line.contains(&b'\n') && reader.read_buf(&mut line).await? > 0 {}
        Ok(String::from_utf8_lossy(&line).into_owned())
    };
    timeout(limit, conversation)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> Report {
        let mut report = Report::default();
        for line in lines {
            report.read(line);
        }
        report
    }

    #[test]
    fn words_stay_in_force_until_another_takes_them_back() {
        let report = after(&["drain 50%\n"]);
        assert_eq!((report.percent, report.admin), (50, AdminState::Drain));
        let report = after(&["drain 50%\n", "75%\n"]);
        assert_eq!((report.percent, report.admin), (75, AdminState::Drain));
        let report = after(&["drain", "ready,100%"]);
        assert_eq!(report, Report::default());
    }

    #[test]
    fn an_agent_may_say_why() {
        let report = after(&["down maxconn:30 # disk is full\r\n"]);
        assert!(report.down);
        assert_eq!(report.reason, "disk is full");
        assert!(!after(&["stopped", "UP"]).down);
    }

    #[test]
    fn nonsense_says_nothing() {
        let nonsense = ["", "\n", "%", "-5%", "99999999999%", "\u{0}\u{fffd}"];
        for line in nonsense {
            assert_eq!(after(&[line]), Report::default(), "{line:?}");
        }
        assert_eq!(after(&["5000%"]).percent, 100);
    }
}
