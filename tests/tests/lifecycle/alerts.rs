//! Alert mails about state changes, by SMTP and by sendmail.

use crate::daemon_lab::DaemonLab;
use crate::postfix::Postfix;

/// The recipient of alerts.
const PEOPLE: [&str; 2] = ["a@example.com", "b@example.com"];

const ALERTS: &str = "emailalert=\"a@example.com, b@example.com\"\n\
                      emailalertfrom=lb@example.com\nemailalertfreq=1\n";

#[test]
fn an_alert_mail_reports_each_state_change_and_its_cause() {
    let Some(mut daemon) = DaemonLab::new("") else {
        return;
    };
    let Some(postfix) = Postfix::start(&daemon) else {
        return;
    };
    daemon.write(&format!("{ALERTS}smtp=127.0.0.1"), 2);
    let wait_for = |subject: &str, phase: &str| {
        let subject = format!("[shop] {subject} real server: 10.2.0.11:80 (");
        let phase = format!("\nDaemon-Status: {phase}\n");
        PEOPLE.map(|to| postfix.wait_for(to, &subject, &phase))
    };
    daemon.does("start");
    let [first, _] = wait_for("Added", "starting");
    let header = |name: &str| first.header(name).unwrap_or_default();
    assert_eq!(header("From"), "lb@example.com");
    assert_eq!(header("To"), PEOPLE.join(", "));
    let way = header("Received");
    assert!(way.contains("ESMTPS"), "it is not encrypted: {way}");
    daemon.lab.servers[0].crash();
    wait_for("Deleted", "running");
    // It stays down.
    wait_for("Inaccessible", "running");
    daemon.lab.servers[0].recover().unwrap();
    wait_for("Added", "running");
    daemon.does("stop");
}

#[test]
fn without_a_mail_server_alerts_are_sent_by_sendmail() {
    let Some(daemon) = DaemonLab::new(ALERTS) else {
        return;
    };
    let Some(postfix) = Postfix::start(&daemon) else {
        return;
    };
    let file = daemon.file.display().to_string();
    let mut start = daemon.lab.director.command(&[&file, "start"]);
    start.env("MAIL_CONFIG", &postfix.folder);
    let started = daemon.lab.director.namespace().output(&mut start).unwrap();
    assert!(started.status.success(), "{started:?}");
    for to in PEOPLE {
        let subject = "[shop] Added real server: 10.2.0.11:80 (";
        let mail = postfix.wait_for(to, subject, "\nDaemon-Status: starting\n");
        let way = mail.header("Received").unwrap_or_default();
        assert!(way.contains("from userid 0"), "not by sendmail: {way}");
    }
    daemon.does("stop");
}
