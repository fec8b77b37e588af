//! Mail about what happens.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::station::{PATIENCE, Station};

/// Takes mail in the director's namespace (RFC 5321); each arrives as its recipients and its text.
fn mail_server(station: &Station) -> (String, Receiver<(Vec<String>, String)>) {
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = station.lab.director.namespace().enter(bind).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, received) = channel();
    // It ends with the test.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            thread::spawn(move || converse(&stream.unwrap(), &sender));
        }
    });
    (address, received)
}

fn converse(stream: &TcpStream, sender: &Sender<(Vec<String>, String)>) {
    let (mut recipients, mut lines) = (Vec::new(), BufReader::new(stream).lines());
    let say = |text: &str| {
        let mut stream = stream;
        // Whoever sent the mail may be gone.
        let _ = stream.write_all(text.as_bytes());
    };
    say("220 lab\r\n");
    while let Some(Ok(line)) = lines.next() {
        if line == "DATA" {
            say("354 go on\r\n");
            let text: Vec<_> = lines
                .by_ref()
                .map_while(Result::ok)
                .take_while(|line| line != ".")
                .collect();
            let _ = sender.send((std::mem::take(&mut recipients), text.join("\n")));
        } else if let Some(recipient) = line.strip_prefix("RCPT TO:") {
            recipients.push(recipient.to_owned());
        }
        say("250 yes\r\n");
    }
}

#[test]
fn people_are_told_of_each_change_with_what_the_daemon_was_doing() {
    let Some(mut station) = Station::new("") else {
        return;
    };
    let (address, mails) = mail_server(&station);
    station.write(
        &format!(
            "smtp={address}\nemailalert=\"a@example.com, b@example.com\"\n\
             emailalertfrom=lb@example.com\nemailalertfreq=1"
        ),
        2,
    );
    let wait_for = |subject: &str, phase: &str| loop {
        let (recipients, text) = mails
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("no mail says \"{subject}\""));
        // Long header lines are folded (RFC 5322 section 2.2.3).
        let unfolded = text.replace("\n ", " ");
        if unfolded.contains(&format!("Subject: [shop] {subject}")) {
            assert_eq!(recipients, ["<a@example.com>", "<b@example.com>"]);
            assert!(
                text.contains(&format!("Daemon-Status: {phase}\n")),
                "{text}"
            );
            break;
        }
    };
    station.does("start");
    wait_for("Added real server: 10.2.0.11:80", "starting");
    station.lab.servers[0].crash();
    wait_for("Deleted real server: 10.2.0.11:80", "running");
    // It stays down.
    wait_for("Inaccessible real server: 10.2.0.11:80", "running");
    station.lab.servers[0].recover().unwrap();
    wait_for("Added real server: 10.2.0.11:80", "running");
    station.does("stop");
}
