//! The client: curl, wrk and UDP.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::namespace::Namespace;
use super::{command, udp};

/// The client host: it sends the requests.
pub struct Client {
    namespace: Namespace,
    folder: PathBuf,
}

/// The counts of a run of wrk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests answered.
    pub requests: u64,
    /// Requests that failed: not connected, broken off, timed out, or answered with an error.
    pub failed: u64,
}

impl Load {
    /// Connections at a time.
    pub const CONNECTIONS: u64 = 16;

    /// Both loads together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            failed: self.failed + other.failed,
        }
    }
}

/// Connections of a load: one for each request, or kept alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// One connection for each request.
    New,
    /// Connections are kept for many requests.
    Kept,
}

impl Client {
    pub(super) fn new(namespace: Namespace, lab: &Path) -> Self {
        Self {
            namespace,
            folder: lab.to_owned(),
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A URL of an address.
    pub fn url(address: IpAddr, path: &str) -> String {
        match address {
            IpAddr::V4(address) => format!("http://{address}{path}"),
            IpAddr::V6(address) => format!("http://[{address}]{path}"),
        }
    }

    /// curl with options for unattended use.
    fn curl(arguments: &[&str]) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "60"]);
        curl.args(["--connect-timeout", "5", "--noproxy", "*"])
            .args(arguments);
        curl
    }

    /// Asks a server for its name over a new connection.
    pub fn get(&self, address: IpAddr) -> Result<String> {
        let body = self.fetch(&Self::url(address, "/"))?;
        Ok(body.trim().to_owned())
    }

    /// Fetches a small page.
    pub fn fetch(&self, url: &str) -> Result<String> {
        let mut curl = Self::curl(&[url]);
        let output = self.namespace.output(&mut curl)?;
        ensure!(
            output.status.success(),
            "{}",
            command::failure(&curl, &output)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Asks for the names of many servers, each over a new connection.
    pub fn get_many(&self, address: IpAddr, count: usize) -> Result<Vec<String>> {
        // curl closes the connection after each because of its header.
        let url = Self::url(address, &format!("/?[1-{count}]"));
        let body = {
            let mut curl = Self::curl(&["--header", "Connection: close", &url]);
            let output = self.namespace.output(&mut curl)?;
            ensure!(
                output.status.success(),
                "{}",
                command::failure(&curl, &output)
            );
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        Ok(body.lines().map(str::to_owned).collect())
    }

    /// Starts a download into a file; its name and the running curl are returned.
    pub fn start_download(&self, url: &str, name: &str) -> Result<(PathBuf, Child)> {
        let file = self.folder.join(name);
        let mut curl = Self::curl(&["--output"]);
        curl.arg(&file)
            .arg("--dump-header")
            .arg(header_file(&file))
            .arg(url);
        curl.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        Ok((file, self.namespace.spawn(&mut curl)?))
    }

    /// Downloads a file; where it lies is returned.
    pub fn download(&self, url: &str, name: &str) -> Result<PathBuf> {
        let (file, mut curl) = self.start_download(url, name)?;
        let status = curl.wait()?;
        ensure!(status.success(), "curl {url} failed ({status})");
        Ok(file)
    }

    /// Sends a file with PUT.
    pub fn upload(&self, file: &Path, url: &str) -> Result<()> {
        let mut curl = Self::curl(&["--upload-file"]);
        curl.arg(file).arg(url);
        let output = self.namespace.output(&mut curl)?;
        ensure!(
            output.status.success(),
            "{}",
            command::failure(&curl, &output)
        );
        Ok(())
    }

    /// Sends requests with wrk for some seconds.
    pub fn load(&self, address: IpAddr, connections: Connections, seconds: u64) -> Result<Load> {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--timeout", "5", "--connections"]);
        wrk.arg(Load::CONNECTIONS.to_string());
        wrk.arg("--duration").arg(format!("{seconds}s"));
        if connections == Connections::New {
            wrk.args(["--header", "Connection: close"]);
        }
        wrk.arg(Self::url(address, "/"));
        let output = self.namespace.output(&mut wrk)?;
        ensure!(
            output.status.success(),
            "{}",
            command::failure(&wrk, &output)
        );
        parse_wrk(&String::from_utf8_lossy(&output.stdout))
    }

    /// Asks a UDP service from a new port; waits up to a second.
    pub fn ask(&self, to: SocketAddr, text: &str) -> Result<String> {
        udp::ask(&self.namespace, to, text, Duration::from_secs(1))
    }
}

/// The file that keeps a download's header.
fn header_file(download: &Path) -> PathBuf {
    download.with_extension("header")
}

/// The server that a download comes from, once it has begun.
pub fn download_source(download: &Path) -> Option<String> {
    let header = std::fs::read_to_string(header_file(download)).ok()?;
    let source = header
        .lines()
        .find_map(|line| line.strip_prefix("X-Server: "))?;
    Some(source.trim().to_owned())
}

/// Reads wrk's report.
fn parse_wrk(report: &str) -> Result<Load> {
    let numbers = |line: &str| -> Vec<u64> {
        line.split(|c: char| !c.is_ascii_digit())
            .filter_map(|digits| digits.parse().ok())
            .collect()
    };
    let line = |what: &str| report.lines().find(|line| line.contains(what));
    let requests = line("requests in")
        .and_then(|line| numbers(line).first().copied())
        .with_context(|| format!("wrk's report has no count of requests:\n{report}"))?;
    let mut failed = 0;
    for errors in ["Socket errors", "Non-2xx or 3xx responses"] {
        failed += line(errors)
            .and_then(|line| line.split_once(':'))
            .map_or(0, |(_, counts)| numbers(counts).iter().sum());
    }
    Ok(Load { requests, failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrks_report_is_read() {
        let report = "Running 2s test @ http://10.1.0.101/
  1 threads and 16 connections
  39128 requests in 2.00s, 6.90MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  19555.01";
        assert_eq!(
            parse_wrk(report).unwrap(),
            Load {
                requests: 39_128,
                failed: 15
            }
        );
        assert_eq!(
            parse_wrk("  7 requests in 1.00s, 1KB read").unwrap(),
            Load {
                requests: 7,
                failed: 0
            }
        );
    }
}
