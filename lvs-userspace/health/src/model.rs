//! The meaning of a file, with every default and every inherited value filled in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lvs_api::model::{ServerId, ServerSettings, ServiceId, ServiceSettings};
use lvs_dataplane::director::OnDown;

use crate::check::{Check, Kind};
use crate::probe::external::External;

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Settings of the whole file.
    pub globals: Globals,
    /// The virtual services, in the order of the file.
    pub virtuals: Vec<Virtual>,
}

/// Settings of the daemon, not of one virtual service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globals {
    /// `autoreload`: read the file again when it has changed on disk.
    pub autoreload: bool,
    /// `callback`: run with the file's path when it has changed on disk.
    pub callback: Option<String>,
    /// `eventcommand`: run for each change of state, with its line of JSON on the standard input.
    pub event_command: Option<String>,
    /// `execute`: files for which further instances are started, stopped and reloaded with this one.
    pub execute: Vec<String>,
    /// `logfile`: a file if it begins with `/`, else a syslog facility.
    pub logfile: Option<String>,
    /// `supervised`: stay in the foreground and log to the standard output.
    pub supervised: bool,
    /// `maintenancedir`: a file named after a real server in it takes the server out.
    pub maintenance: Option<PathBuf>,
}

/// A virtual service with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Virtual {
    /// Line of the file that begins it, from 1.
    pub line: usize,
    /// Its identity.
    pub id: ServiceId,
    /// Scheduler, persistence and so on.
    pub settings: ServiceSettings,
    /// `real`, in the order of the file.
    pub servers: Vec<RealServer>,
    /// Names whose addresses are real servers, whatever they are now.
    pub names: Vec<String>,
    /// `fallback`: used while no real server is up, in this order of preference all at once.
    pub fallbacks: Vec<Fallback>,
    /// `fallbackcommand`: run with `start` or `stop`, the virtual service and its protocol.
    pub fallback_command: Option<String>,
    /// `quiescent`: a server that is down keeps its entry, with weight 0.
    pub quiescent: bool,
    /// `readdquiescent`: such an entry is made again where somebody deleted it.
    pub readd_quiescent: bool,
    /// `cleanstop`: the service is withdrawn when the daemon is stopped.
    pub clean_stop: bool,
    /// `ondown`: what becomes of the connections of a server that died.
    pub on_down: OnDown,
    /// `observe = path`: the meaning of failures of clients' connections; none: they are a reason to probe, no more.
    pub observe: Option<Observe>,
    /// `quorum` with its hysteresis and commands.
    pub quorum: Quorum,
    /// `allbackups`: use all backup servers at once, not the first that is up.
    pub all_backups: bool,
    /// `slowstart`: time in which a server that came back grows to its weight; zero: at once.
    pub slow_start: Duration,
    /// Mail about it.
    pub alerts: Alerts,
    /// `monitorfile`: a line is appended to it for each probe.
    pub monitor_file: Option<PathBuf>,
    /// `servicename`: stands in the subject of mails.
    pub service_name: Option<String>,
    /// `comment`: stands in the body of mails.
    pub comment: Option<String>,
}

/// A real server of a virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealServer {
    /// Line of the file that names it, from 1.
    pub line: usize,
    /// Address and port.
    pub id: ServerId,
    /// Host name it was given by, if any.
    pub name: Option<String>,
    /// Forwarding method, configured weight, thresholds.
    pub settings: ServerSettings,
    /// `backup`: used only while no other server is up.
    pub backup: bool,
    /// All of them have to hold for the server to be up. Never empty.
    pub checks: Vec<Arc<Check>>,
    /// When it is probed, and how many outcomes change its state.
    pub rhythm: Rhythm,
    /// The other source of its weight.
    pub weighing: Weighing,
}

/// When a server is probed, and how many outcomes in a row change its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rhythm {
    /// From the end of a probe to the next one, while the state is certain and up.
    pub interval: Duration,
    /// While the state may be about to change.
    pub fast: Duration,
    /// While the server is down.
    pub down: Duration,
    /// Largest part of an interval, in percent, that is added or subtracted by chance.
    pub jitter: u8,
    /// Good probes in a row that make a server that was down be up; at least 1.
    pub rise: u32,
    /// Failures in a row that make a server be down; at least 1.
    pub fall: u32,
    /// `hangtimeout`: time without an answer that makes a server suspect of hanging; none: it has its check's time.
    pub hang: Option<Duration>,
}

/// When failures of clients' connections, as the data path sees them, count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observe {
    /// `maxfails`: failures of one real server within `fail_timeout` that count; at least 1.
    pub max_fails: u32,
    /// `failtimeout`: also the time for which a server is down whose health checks do not fail.
    pub fail_timeout: Duration,
    /// `onerror`: what they count as.
    pub on_error: OnError,
}

/// Effect of too many failures of clients' connections, in HAProxy's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// A failed probe.
    #[default]
    FailCheck,
    /// As many failed probes that one more makes the server be down.
    SuddenDeath,
    /// The server is down.
    MarkDown,
}

impl OnError {
    /// By its name in files.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::FailCheck, Self::SuddenDeath, Self::MarkDown]
            .into_iter()
            .find(|it| it.name() == name)
    }

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailCheck => "fail-check",
            Self::SuddenDeath => "sudden-death",
            Self::MarkDown => "mark-down",
        }
    }
}

/// The source of a real server's weight beside the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Weighing {
    /// Nothing.
    #[default]
    Configured,
    /// The exit code of its external check: 0 as configured, 2 to 255 that less two.
    ExitCode,
    /// The line an agent sends when it is connected to, in the words of HAProxy's agent-check.
    Agent {
        /// Address and port of the agent.
        address: std::net::SocketAddr,
        /// Time between two requests.
        interval: Duration,
        /// Sent before its line is read.
        send: Option<String>,
    },
    /// The duration of its probes, compared with the other servers'.
    ResponseTime,
}

/// A server for the time when no other is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Address and port.
    pub id: ServerId,
    /// Forwarding method, weight.
    pub settings: ServerSettings,
}

/// The weight that must be up for a virtual service to have its quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quorum {
    /// Sum of the weights of servers that are up; 0: no quorum.
    pub weight: u32,
    /// The quorum is gained at `weight + hysteresis` and lost below `weight - hysteresis`.
    pub hysteresis: u32,
    /// Run when it is gained.
    pub up_command: Option<String>,
    /// Run when it is lost.
    pub down_command: Option<String>,
}

/// Recipients of mail about changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// `emailalert`: empty: nobody.
    pub to: Vec<String>,
    /// `emailalertfrom`.
    pub from: Option<String>,
    /// `emailalertfreq`: time between reminders of a server that stays down; zero: none.
    pub repeat: Duration,
    /// `emailalertstatus`: phases of the daemon in which mail is sent.
    pub phases: Phases,
    /// `smtp`: mail server; none: the machine's own `sendmail`.
    pub smtp: Option<String>,
}

/// Phases of the daemon's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set")]
#[allow(missing_docs, reason = "named after the keyword's values")]
pub struct Phases {
    pub starting: bool,
    pub running: bool,
    pub stopping: bool,
    pub reloading: bool,
}

impl Default for Phases {
    fn default() -> Self {
        Self {
            starting: true,
            running: true,
            stopping: true,
            reloading: true,
        }
    }
}

impl RealServer {
    /// Its external checks.
    pub fn externals(&self) -> impl Iterator<Item = &External> {
        self.checks.iter().filter_map(|check| match &check.kind {
            Kind::External(external) => Some(external),
            _ => None,
        })
    }
}
