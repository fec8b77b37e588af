//! Agents of real servers: a line that says how much traffic the server wants, in the words of HAProxy's
//! agent-check.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lvs_api::health::AdminState;
use lvs_api::model::{ServerId, ServiceId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::debug;

use crate::model::{RealServer, Weighing};

/// Longest line that is read.
const LONGEST: u64 = 1024;

/// State that follows from all lines of an agent: a word stays in force until another revokes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentState {
    /// Percentage of the configured weight.
    pub(crate) percent: u32,
    /// `ready`, `drain`, `maint`.
    pub(crate) admin: AdminState,
    /// `down`, `fail`, `stopped`; `up` revokes it.
    pub(crate) down: bool,
    /// Text after `#`.
    pub(crate) reason: String,
}

impl Default for AgentState {
    /// The state before the first line.
    fn default() -> Self {
        Self {
            percent: 100,
            admin: AdminState::Ready,
            down: false,
            reason: String::new(),
        }
    }
}

impl AgentState {
    /// Applies a line. Unknown words, `maxconn:` among them, are ignored.
    pub(crate) fn apply(&mut self, line: &str) {
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

/// Connects to an agent and reads its line.
pub(crate) async fn query(
    address: SocketAddr,
    send: Option<&str>,
    limit: Duration,
) -> io::Result<String> {
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

/// A line that an agent said about a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentLine {
    /// The virtual service.
    pub(crate) service: ServiceId,
    /// The real server.
    pub(crate) server: ServerId,
    /// The line as received.
    pub(crate) line: String,
}

/// The agents that are polled, each at its own interval.
pub(crate) struct Agents {
    polled: HashMap<(ServiceId, ServerId), (Weighing, PollTask)>,
    report: Arc<dyn Fn(AgentLine) -> bool + Send + Sync>,
}

/// Polls one agent until it is dropped.
struct PollTask(JoinHandle<()>);

impl Drop for PollTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Agents {
    /// Polls none yet. Lines go to `report`; polling of an agent ends when it returns false.
    pub(crate) fn new(report: impl Fn(AgentLine) -> bool + Send + Sync + 'static) -> Self {
        Self {
            polled: HashMap::new(),
            report: Arc::new(report),
        }
    }

    /// Polls the agents of these servers from now on, and no others of this service.
    pub(crate) fn follow<'a>(
        &mut self,
        service: ServiceId,
        servers: impl Iterator<Item = &'a RealServer> + Clone,
    ) {
        self.polled.retain(|(of, id), (weighing, _)| {
            let mut servers = servers.clone();
            *of != service || servers.any(|s| s.id == *id && s.weighing == *weighing)
        });
        for server in servers {
            let key = (service, server.id);
            if let weighing @ Weighing::Agent { .. } = &server.weighing
                && !self.polled.contains_key(&key)
            {
                let task = poll(key, weighing.clone(), Arc::clone(&self.report));
                let polling = PollTask(tokio::spawn(task));
                self.polled.insert(key, (weighing.clone(), polling));
            }
        }
    }
}

async fn poll(
    (service, server): (ServiceId, ServerId),
    weighing: Weighing,
    report: Arc<dyn Fn(AgentLine) -> bool + Send + Sync>,
) {
    let Weighing::Agent {
        address,
        interval,
        send,
    } = weighing
    else {
        return;
    };
    loop {
        match query(address, send.as_deref(), interval).await {
            Ok(line) => {
                let received = AgentLine {
                    service,
                    server,
                    line,
                };
                if !report(received) {
                    return;
                }
            }
            // As with HAProxy, an agent that cannot be reached changes nothing.
            Err(error) => debug!("the agent at {address} cannot be reached: {error}"),
        }
        tokio::time::sleep(interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> AgentState {
        let mut state = AgentState::default();
        for line in lines {
            state.apply(line);
        }
        state
    }

    #[test]
    fn words_stay_in_force_until_another_takes_them_back() {
        let state = after(&["drain 50%\n"]);
        assert_eq!((state.percent, state.admin), (50, AdminState::Drain));
        let state = after(&["drain 50%\n", "75%\n"]);
        assert_eq!((state.percent, state.admin), (75, AdminState::Drain));
        let state = after(&["drain", "ready,100%"]);
        assert_eq!(state, AgentState::default());
    }

    #[test]
    fn an_agent_may_say_why() {
        let state = after(&["down maxconn:30 # disk is full\r\n"]);
        assert!(state.down);
        assert_eq!(state.reason, "disk is full");
        assert!(!after(&["stopped", "UP"]).down);
    }

    #[test]
    fn nonsense_says_nothing() {
        let nonsense = ["", "\n", "%", "-5%", "99999999999%", "\u{0}\u{fffd}"];
        for line in nonsense {
            assert_eq!(after(&[line]), AgentState::default(), "{line:?}");
        }
        assert_eq!(after(&["5000%"]).percent, 100);
    }

    #[tokio::test]
    async fn agents_are_asked_at_their_pace_until_nobody_wants_to_know() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = tokio::spawn(async move {
            for answer in ["50%\n", "drain 20%"] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut question = [0; 5];
                stream.read_exact(&mut question).await.unwrap();
                assert_eq!(&question, b"shop\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let mut server = crate::service::tests::real("10.0.0.1:80");
        server.weighing = Weighing::Agent {
            address,
            interval: Duration::from_millis(20),
            send: Some("shop\n".to_owned()),
        };
        let service = ServiceId::Address {
            protocol: lvs_api::model::Protocol::Tcp,
            address: "10.9.9.9:80".parse().unwrap(),
        };
        let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
        let mut agents = Agents::new(move |line| sender.send(line).is_ok());
        agents.follow(service, [server].iter());
        let mut state = AgentState::default();
        for expected in ["50%\n", "drain 20%"] {
            let received = lines.recv().await.unwrap();
            assert_eq!(received.line, expected);
            state.apply(&received.line);
        }
        assert_eq!((state.percent, state.admin), (20, AdminState::Drain));
        answers.await.unwrap();
        agents.follow(service, [].iter());
        drop(agents);
        assert!(lines.recv().await.is_none(), "no agent is polled any more");
    }
}
