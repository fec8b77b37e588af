//! The agent of a real server: a line that says how much it wants, in the words of HAProxy's
//! agent-check.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::debug;

use crate::model::{RealServer, Weighing};
use lvs_api::health::AdminState;
use lvs_api::model::{ServerId, ServiceId};

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

/// A line that an agent said about a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Of which virtual service.
    pub service: ServiceId,
    /// About which server.
    pub server: ServerId,
    /// What.
    pub line: String,
}

/// Asks all agents there are, each at its own pace.
pub struct Agents {
    asked: HashMap<(ServiceId, ServerId), (Weighing, Asking)>,
    tell: Arc<dyn Fn(Said) -> bool + Send + Sync>,
}

/// Asks until it is dropped.
struct Asking(JoinHandle<()>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Agents {
    /// None yet; what they say is told until nobody wants to know.
    pub fn new(tell: impl Fn(Said) -> bool + Send + Sync + 'static) -> Self {
        Self {
            asked: HashMap::new(),
            tell: Arc::new(tell),
        }
    }

    /// Asks the agents of these servers from now on, and no other ones about this service.
    pub fn follow<'a>(
        &mut self,
        service: ServiceId,
        servers: impl Iterator<Item = &'a RealServer> + Clone,
    ) {
        self.asked.retain(|(of, id), (weighing, _)| {
            let mut servers = servers.clone();
            *of != service || servers.any(|s| s.id == *id && s.weighing == *weighing)
        });
        for server in servers {
            let key = (service, server.id);
            if let weighing @ Weighing::Agent { .. } = &server.weighing
                && !self.asked.contains_key(&key)
            {
                let task = keep_asking(key, weighing.clone(), Arc::clone(&self.tell));
                let asking = Asking(tokio::spawn(task));
                self.asked.insert(key, (weighing.clone(), asking));
            }
        }
    }
}

async fn keep_asking(
    (service, server): (ServiceId, ServerId),
    weighing: Weighing,
    tell: Arc<dyn Fn(Said) -> bool + Send + Sync>,
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
        match ask(address, send.as_deref(), interval).await {
            Ok(line) => {
                let said = Said {
                    service,
                    server,
                    line,
                };
                if !tell(said) {
                    return;
                }
            }
            // As with HAProxy, an agent that cannot be asked says nothing.
            Err(error) => debug!("the agent at {address} cannot be asked: {error}"),
        }
        tokio::time::sleep(interval).await;
    }
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
        let (sender, mut said) = tokio::sync::mpsc::unbounded_channel();
        let mut agents = Agents::new(move |said| sender.send(said).is_ok());
        agents.follow(service, [server].iter());
        let mut report = Report::default();
        for expected in ["50%\n", "drain 20%"] {
            let said = said.recv().await.unwrap();
            assert_eq!(said.line, expected);
            report.read(&said.line);
        }
        assert_eq!((report.percent, report.admin), (20, AdminState::Drain));
        answers.await.unwrap();
        agents.follow(service, [].iter());
        drop(agents);
        assert!(said.recv().await.is_none(), "nobody is asked any more");
    }
}
