//! A Postfix that delivers every mail to one mailbox.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use lvs_tests::eventually;
use lvs_tests::lab::island::give;
use lvs_tests::lab::{Missing, find, skipped};
use nix::unistd::User;

use crate::daemon_lab::{DaemonLab, PATIENCE};

/// Postfix in the director's namespace, for mail to `example.com`; it goes with the lab.
pub(crate) struct Postfix {
    /// Its folder of configuration, for `MAIL_CONFIG` of its own sendmail.
    pub(crate) folder: PathBuf,
    mailbox: PathBuf,
    _process: Child,
}

/// A mail as it was delivered to one of its recipients.
pub(crate) struct Mail(String);

impl Postfix {
    /// Starts it, with TLS by a certificate that nobody vouches for; `None` where there is none.
    pub(crate) fn start(daemon: &DaemonLab) -> Option<Self> {
        for program in ["postfix", "openssl"] {
            if find(program).is_none() {
                let missing = Missing(format!("{program} is not installed"));
                assert!(skipped(Err(missing)));
                return None;
            }
        }
        let folder = daemon.lab.folder().join("postfix");
        for name in ["", "queue", "data", "mail"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        for name in ["data", "mail"] {
            give(&folder.join(name), "postfix").unwrap();
        }
        configure(&folder);
        let mut postfix = Command::new(find("postfix").unwrap());
        postfix.arg("-c").arg(&folder).arg("start-fg");
        let process = daemon.spawn(postfix);
        let namespace = daemon.lab.director.namespace();
        let accepts = || namespace.enter(|| TcpStream::connect("127.0.0.1:25"));
        let answers = eventually(PATIENCE, || accepts().unwrap().is_ok());
        let log = || fs::read_to_string(folder.join("log"));
        assert!(answers, "Postfix does not answer: {:?}", log());
        Some(Self {
            mailbox: folder.join("mail/inbox"),
            folder,
            _process: process,
        })
    }

    /// Waits for a mail to a recipient whose subject and text say this.
    #[track_caller]
    pub(crate) fn wait_for(&self, to: &str, subject: &str, text: &str) -> Mail {
        let is_it = |mail: &Mail| {
            mail.header("Delivered-To").as_deref() == Some(to)
                && mail.header("Subject").is_some_and(|s| s.contains(subject))
                && mail.0.contains(text)
        };
        let all = || fs::read_to_string(&self.mailbox).unwrap_or_default();
        let mut found = None;
        eventually(PATIENCE, || {
            let all = format!("\n{}", all());
            let mut mails = all.split("\nFrom ").map(|mail| Mail(mail.to_owned()));
            found = mails.find(is_it);
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no mail to {to} says {subject}, {text}: {}", all()))
    }
}

impl Mail {
    /// A header field without its folds (RFC 5322 section 2.2.3), the topmost of its name.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let (header, _) = self.0.split_once("\n\n")?;
        let header = header.replace("\n\t", " ").replace("\n ", " ");
        let mut lines = header.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
    }
}

fn configure(folder: &Path) {
    let user = User::from_name("postfix").unwrap().unwrap();
    let (user, group) = (user.uid, user.gid);
    let mut openssl = Command::new(find("openssl").unwrap());
    let words = "req -x509 -nodes -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
                 -subj /CN=mail.example -keyout key -out certificate";
    openssl.args(words.split_whitespace()).current_dir(folder);
    let made = openssl.output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let place = folder.display();
    let settings = format!(
        "compatibility_level = 3.6
queue_directory = {place}/queue
data_directory = {place}/data
maillog_file = {place}/log
maillog_file_prefixes = {place}
myhostname = mail.example
inet_interfaces = loopback-only
alias_maps =
smtpd_peername_lookup = no
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtpd_tls_chain_files = {place}/key, {place}/certificate
virtual_mailbox_domains = example.com
virtual_mailbox_base = {place}/mail
virtual_mailbox_maps = static:inbox
virtual_minimum_uid = 1
virtual_uid_maps = static:{user}
virtual_gid_maps = static:{group}
"
    );
    let services = "\
smtp inet n - n - - smtpd
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
";
    fs::write(folder.join("main.cf"), settings).unwrap();
    fs::write(folder.join("master.cf"), services).unwrap();
}
