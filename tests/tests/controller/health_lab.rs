//! A lab whose director checks the health of its real servers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lvs_api::client::Client;
use lvs_api::health::Health;
use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_api::protocol::Status;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::{Arms, Lab, available};

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Probes come quickly, so that stories are short.
pub(crate) const QUICK: &str = "\
checktimeout = 500ms
negotiatetimeout = 500ms
interval = 100ms
fastinterval = 50ms
downinterval = 100ms
fall = 2
";

/// A lab, and the configuration file of its director.
pub(crate) struct HealthLab {
    pub(crate) lab: Lab,
    file: PathBuf,
}

impl HealthLab {
    /// A lab whose director has this file, or `None` where the machine cannot have one.
    pub(crate) fn of(text: &str) -> Option<Self> {
        Self::with(Arms::Two, text)
    }

    /// The same with other interfaces.
    pub(crate) fn with(arms: Arms, text: &str) -> Option<Self> {
        let health = Self::not_started(arms, text)?;
        health.start();
        Some(health)
    }

    /// The same, whose director is not started yet.
    pub(crate) fn of_none(text: &str) -> Option<Self> {
        Self::not_started(Arms::Two, text)
    }

    fn not_started(arms: Arms, text: &str) -> Option<Self> {
        if !available() {
            return None;
        }
        let lab = Lab::new(arms).unwrap();
        let file = lab.folder().join("ldirectord.cf");
        let health = Self { lab, file };
        health.write(text);
        Some(health)
    }

    pub(crate) fn write(&self, text: &str) {
        fs::write(&self.file, text).unwrap();
    }

    /// Starts the daemon; what is wrong with the file is shown.
    pub(crate) fn start(&self) {
        self.start_with(&[]);
    }

    /// The same with more options.
    pub(crate) fn start_with(&self, options: &[&str]) {
        let file = self.file.to_string_lossy();
        let options = [&["--config", &file], options].concat();
        self.lab.director.start_with(&options).unwrap();
    }

    /// The same on these interfaces; on none, the daemon has to find them.
    pub(crate) fn start_on(&self, interfaces: &[&str]) {
        let file = self.file.to_string_lossy();
        let mut options = vec!["--config", &file];
        options.extend(interfaces.iter().flat_map(|name| ["--interface", name]));
        self.lab.director.start_on(&options).unwrap();
    }

    /// Has the file read again; what is wrong with it is returned.
    pub(crate) fn reload(&self) -> Result<(), String> {
        let socket = self.lab.director.socket();
        run(async {
            let mut client = Client::connect(&socket).await.unwrap();
            client.reload().await.map_err(|error| error.to_string())
        })
    }

    pub(crate) fn health(&self) -> Health {
        let socket = self.lab.director.socket();
        run(async {
            let mut client = Client::connect(&socket).await.unwrap();
            client.health().await.unwrap()
        })
    }

    pub(crate) fn status(&self) -> Status {
        let socket = self.lab.director.socket();
        run(async {
            let mut client = Client::connect(&socket).await.unwrap();
            client.status().await.unwrap()
        })
    }

    /// Number and weight of each server in the table, as `1=5 2=0`.
    pub(crate) fn table(&self) -> String {
        let lines = self.lab.director.lvsadm("-Sn").unwrap();
        let mut weights = BTreeMap::new();
        for line in lines.lines().filter(|line| line.starts_with("-a")) {
            let words: Vec<_> = line.split_whitespace().collect();
            let after = |flag| {
                let place = words.iter().position(|word| *word == flag).unwrap();
                words[place + 1]
            };
            let number = (1..=Lab::SERVERS)
                .find(|number| after("-r").starts_with(&server(Ipv4, *number).to_string()))
                .unwrap();
            weights.insert(number, after("-w").to_owned());
        }
        let entry = |(number, weight)| format!("{number}={weight}");
        weights.into_iter().map(entry).collect::<Vec<_>>().join(" ")
    }

    /// Waits until the table is so.
    #[track_caller]
    pub(crate) fn becomes(&self, table: &str) {
        let holds = eventually(PATIENCE, || self.table() == table);
        assert!(holds, "expected {table}, found {}", self.table());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.lab.director.log()).unwrap()
    }

    /// Waits until the log has this.
    #[track_caller]
    pub(crate) fn logs(&self, text: &str) {
        let logged = eventually(PATIENCE, || self.log().contains(text));
        assert!(logged, "\"{text}\" is not in the log:\n{}", self.log());
    }

    /// Who answers new connections.
    pub(crate) fn answering(&self) -> Vec<String> {
        let mut names = self
            .lab
            .client
            .get_many(virtual_address(Ipv4, Nat), 12)
            .unwrap();
        names.sort();
        names.dedup();
        names
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}

/// A virtual service over NAT with these lines; its servers are asked for a connection unless they say
/// something else.
pub(crate) fn virtual_service(lines: &str) -> String {
    let mut text = format!("virtual = {}:80\n", virtual_address(Ipv4, Nat));
    let plain = ["checktype = connect"];
    let check = plain.iter().filter(|_| !lines.contains("checktype"));
    for line in check.copied().chain(lines.lines()) {
        let _ = writeln!(text, "        {line}");
    }
    text
}

/// `real` lines for these servers, with weight 5.
pub(crate) fn reals(numbers: &[u8]) -> String {
    let mut lines = String::new();
    for number in numbers {
        let _ = writeln!(lines, "real = {}:80 masq 5", server(Ipv4, *number));
    }
    lines
}
