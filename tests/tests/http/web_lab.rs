//! A lab whose director serves HTTP, and a client of that.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::{Arms, Lab, available};

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The address, in the director's network namespace.
pub(crate) const ADDRESS: &str = "127.0.0.1:8850";

/// Users of the file: passwords by their hashes, and the token `t0ken`.
const USERS: &str = "\
# password: open sesame
anna:$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW:operate
# the same password
rita:$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW:read
prometheus:sha256-b46c09677343261f0b439a472422225e3a230c9c094d6ab16762e2036b597053:read
";

/// A lab with a director that checks two real servers of a web service called `shop`.
pub(crate) struct WebLab {
    pub(crate) lab: Lab,
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl WebLab {
    /// A lab whose director serves everybody, or none where there can be none.
    pub(crate) fn open() -> Option<Self> {
        let web = Self::new()?;
        web.start(&[]);
        Some(web)
    }

    /// A lab whose director serves the users of a file.
    pub(crate) fn with_users() -> Option<Self> {
        let web = Self::new()?;
        let users = web.users();
        web.start(&["--http-users", &users.to_string_lossy()]);
        Some(web)
    }

    /// A lab whose director is not started.
    pub(crate) fn new() -> Option<Self> {
        if !available() {
            return None;
        }
        let lab = Lab::new(Arms::Two).unwrap();
        let real = |number| format!("\treal={}:80 masq 5\n", server(Ipv4, number));
        let text = format!(
            "checktimeout=2\ncheckinterval=1\nvirtual={}:80\n{}{}\tservice=http\n\trequest=\"/\"\n\tscheduler=rr\n\
             \tservicename=shop\n",
            virtual_address(Ipv4, Nat),
            real(1),
            real(2),
        );
        let web = Self { lab };
        fs::write(web.configuration(), text).unwrap();
        Some(web)
    }

    pub(crate) fn configuration(&self) -> PathBuf {
        self.lab.folder().join("web.cf")
    }

    /// The file of users.
    pub(crate) fn users(&self) -> PathBuf {
        let file = self.lab.folder().join("users");
        fs::write(&file, USERS).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        file
    }

    pub(crate) fn start(&self, options: &[&str]) {
        let configuration = self.configuration();
        let configuration = configuration.to_string_lossy();
        let all = [&["--config", &configuration, "--http", ADDRESS], options].concat();
        self.lab.director.start_with(&all).unwrap();
    }

    /// Asks for a path, with more options of curl.
    pub(crate) fn ask(&self, path: &str, options: &[&str]) -> Answer {
        self.ask_at(&format!("http://{ADDRESS}{path}"), options)
    }

    pub(crate) fn ask_at(&self, url: &str, options: &[&str]) -> Answer {
        self.try_ask_at(url, options)
            .unwrap_or_else(|failed| panic!("{url}: {failed}\n{}", self.lab.director.log_tail()))
    }

    /// The answer; the error says why there is none.
    pub(crate) fn try_ask_at(&self, url: &str, options: &[&str]) -> Result<Answer, String> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-i", "--max-time", "20", url])
            .args(options);
        let output = self.lab.director.namespace().output(&mut curl).unwrap();
        if !output.status.success() {
            return Err(format!("{output:?}"));
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let text = text
            .strip_prefix("HTTP/1.1 100 Continue\r\n\r\n")
            .unwrap_or(&text);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let (head, body) = (head.to_ascii_lowercase(), body.to_owned());
        Ok(Answer { status, head, body })
    }

    /// Waits for a text in the director's log, which a thread of its own writes.
    #[track_caller]
    pub(crate) fn logs(&self, text: &str) {
        let logged =
            || fs::read_to_string(self.lab.director.log()).is_ok_and(|log| log.contains(text));
        assert!(
            eventually(PATIENCE, logged),
            "no {text:?} in\n{}",
            self.lab.director.log_tail()
        );
    }

    /// Has the configuration read again, whatever becomes of that.
    pub(crate) fn reload(&self) {
        let socket = self.lab.director.socket();
        let socket = socket.to_string_lossy();
        self.ask_at(
            "http://lvsd/v1/reload",
            &["-X", "POST", "--unix-socket", &socket],
        );
    }

    /// The value of a metric by its whole name with labels.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let text = self.ask("/metrics", &[]).body;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.parse().ok()
    }
}
