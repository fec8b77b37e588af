//! Mail to a small mail server, in this process.

use std::net::SocketAddr;

use std::sync::Arc;
use std::time::Duration;

use lvs_api::health::Event;
use lvs_api::role::Role;
use lvs_health::model::Alerts;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc, watch};

use super::mailer::{MailHandle, QUEUE};
use super::phase::Phase;
use super::sample;

/// Limit for a machine under load.
const LONG: Duration = Duration::from_secs(20);

/// A mail that arrived.
#[derive(Debug, Default)]
struct Received {
    from: String,
    to: Vec<String>,
    data: String,
}

/// Starts a mail server (RFC 5321) that passes mails to the test.
async fn server() -> (SocketAddr, mpsc::UnboundedReceiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, sender.clone()));
        }
    });
    (address, received)
}

async fn converse(stream: TcpStream, sender: mpsc::UnboundedSender<Received>) {
    let (input, mut output) = stream.into_split();
    let mut lines = BufReader::new(input).lines();
    let mut mail = Received::default();
    output.write_all(b"220 test\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        let answer = match line.split_once(':').map_or(&*line, |(word, _)| word) {
            "DATA" => {
                output.write_all(b"354 go on\r\n").await.unwrap();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "." {
                        break;
                    }
                    mail.data += &line;
                    mail.data.push('\n');
                }
                sender.send(std::mem::take(&mut mail)).unwrap();
                "250 taken"
            }
            "MAIL FROM" => {
                mail.from = line;
                "250 yes"
            }
            "RCPT TO" => {
                mail.to.push(line);
                "250 yes"
            }
            "QUIT" => "221 bye",
            _ => "250 test",
        };
        output
            .write_all(format!("{answer}\r\n").as_bytes())
            .await
            .unwrap();
    }
}

fn alerts(server: SocketAddr) -> Alerts {
    Alerts {
        to: vec!["a@example.com".to_owned(), "b@example.com".to_owned()],
        from: Some("director@example.com".to_owned()),
        smtp: Some(server.to_string()),
        ..Alerts::default()
    }
}

#[tokio::test]
async fn one_mail_for_each_event_reaches_every_recipient() {
    let (address, mut received) = server().await;
    let (events, listener) = broadcast::channel(16);
    let mail = MailHandle::start(
        &sample::configuration(&alerts(address)),
        listener,
        followed(Role::Master),
    );
    let first = "Deleted real server: 10.0.0.1:80 (192.0.2.80:80)";
    happens(&events, "down", first);
    // It happened before.
    mail.enter(Phase::Running);
    let second = "Added real server: 10.0.0.1:80 (192.0.2.80:80) (Weight set to 1)";
    for (line, phase) in [(first, "starting"), (second, "running")] {
        let got = tokio::time::timeout(LONG, received.recv())
            .await
            .unwrap()
            .unwrap();
        assert!(got.from.contains("<director@example.com>"), "{got:?}");
        let to = ["RCPT TO:<a@example.com>", "RCPT TO:<b@example.com>"];
        assert_eq!(got.to, to);
        let subject = format!("Subject: [www] {line}");
        // Long header lines are folded (RFC 5322 section 2.2.3).
        let unfolded = got.data.replace("\n ", " ");
        assert!(unfolded.contains(&subject), "{}", got.data);
        assert!(
            got.data.contains(&format!("Daemon-Status: {phase}\n")),
            "{}",
            got.data
        );
        if phase == "starting" {
            happens(&events, "up", second);
        }
    }
    mail.finish().await;
    assert!(received.try_recv().is_err(), "a mail too many");
}

fn happens(events: &broadcast::Sender<Arc<Event>>, state: &str, text: &str) {
    events.send(Arc::new(sample::event(state, text))).unwrap();
}

/// Waits until the mailer has received every event.
async fn processed(events: &broadcast::Sender<Arc<Event>>) {
    let all = async {
        while !events.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, all).await.unwrap();
}

/// A role that stays.
fn followed(role: Role) -> watch::Receiver<Role> {
    watch::Sender::new(role).subscribe()
}

#[tokio::test]
async fn a_backup_leaves_the_mails_to_the_master_until_it_is_one() {
    let (address, mut received) = server().await;
    let (events, listener) = broadcast::channel(16);
    let role = watch::Sender::new(Role::Backup);
    let configuration = sample::configuration(&alerts(address));
    let mail = MailHandle::start(&configuration, listener, role.subscribe());
    happens(&events, "down", "as backup");
    processed(&events).await;
    role.send_replace(Role::Master);
    happens(&events, "up", "as master");
    mail.finish().await;
    let got = received.try_recv().unwrap();
    assert!(got.data.contains("as master"), "{}", got.data);
    assert!(received.try_recv().is_err(), "a mail too many");
}

#[tokio::test]
async fn a_mail_server_that_hangs_blocks_nothing_and_the_last_messages_arrive() {
    // It accepts, through the listening queue, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hung = sample::configuration(&alerts(silent.local_addr().unwrap()));
    let (events, listener) = broadcast::channel(4096);
    let mail = MailHandle::start(&hung, listener, followed(Role::Master));
    for _ in 0..2 * QUEUE {
        happens(&events, "down", "text");
    }
    // The mailer receives all of them while the first is still being sent.
    processed(&events).await;

    let (address, mut received) = server().await;
    let (events, listener) = broadcast::channel(16);
    let working = MailHandle::start(
        &sample::configuration(&alerts(address)),
        listener,
        followed(Role::Master),
    );
    happens(&events, "down", "the last");
    working.finish().await;
    let got = received.try_recv().unwrap();
    assert!(got.data.contains("the last"), "{}", got.data);
    drop(mail);
}
