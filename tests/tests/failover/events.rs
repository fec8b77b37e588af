//! `lvsadm events` of a director with a peer.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use lvs_api::health::Event;
use lvs_api::role::Role;
use lvs_tests::eventually;
use lvs_tests::lab::{Director, Pair};

/// Longest wait for an event.
const PATIENCE: Duration = Duration::from_secs(30);

/// Events of a director, from the first look at it on.
struct Events {
    follower: Child,
    events: Receiver<Event>,
}

impl Events {
    /// Those of a director that can hand over to nobody. It is followed once the refusal of a handover arrives.
    fn of(director: &Director) -> Self {
        let mut follower = Command::new(director.lvsadm_program())
            .arg("--socket")
            .arg(director.socket())
            .arg("events")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap();
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let events = Self { follower, events };
        let is_followed = || {
            let refused = director.try_lvsadm("handover --timeout 1s").unwrap();
            assert!(!refused.status.success(), "{refused:?}");
            let event = events.events.recv_timeout(Duration::from_millis(500));
            event.is_ok_and(|event| event.event == "handover-failed")
        };
        assert!(eventually(PATIENCE, is_followed));
        events
    }

    /// Waits for an event of this kind about this, after those that came before.
    #[track_caller]
    fn wait_for(&self, kind: &str, subject: &str) -> Event {
        let begin = Instant::now();
        let mut others = Vec::new();
        while let Ok(event) = self
            .events
            .recv_timeout(PATIENCE.saturating_sub(begin.elapsed()))
        {
            let about = event.subject.clone().unwrap_or_default();
            if event.event == kind && about.contains(subject) {
                assert!(!event.text.is_empty(), "{event:?}");
                return event;
            }
            others.push(event);
        }
        panic!("no {kind} of {subject}: {others:?}");
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.follower.kill();
        let _ = self.follower.wait();
    }
}

#[test]
fn roles_peers_and_handovers_are_events() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, two] = &pair.directors;
    pair.start_linked(1, Role::Master, "").unwrap();
    let events = Events::of(one);
    // It refuses: nobody is there to take the role.
    assert!(
        !one.try_lvsadm("handover --timeout 1s")
            .unwrap()
            .status
            .success()
    );
    events.wait_for("handover-failed", "");
    pair.start_linked(2, Role::Backup, "").unwrap();
    events.wait_for("peer-connected", "10.3.0.2");
    one.lvsadm("sync wait").unwrap();
    two.lvsadm("-A -t 10.1.0.200:80").unwrap();
    let differs = events.wait_for("peer-differs", "10.3.0.2");
    assert!(differs.reason.contains("10.1.0.200:80"), "{differs:?}");
    two.lvsadm("-D -t 10.1.0.200:80").unwrap();
    events.wait_for("peer-agrees", "10.3.0.2");
    let others = Events::of(two);
    one.lvsadm("sync wait").unwrap();
    one.lvsadm("handover").unwrap();
    others.wait_for("master", "");
    // The end of the handover and the change of the role come in any order.
    events.wait_for("backup", "");
    two.kill();
    events.wait_for("peer-lost", "10.3.0.2");
}

#[test]
fn conflicts_and_interfaces_are_events() {
    let Some(pair) = Pair::for_story() else {
        return;
    };
    let [one, two] = &pair.directors;
    let options = ["--virtual-address=10.1.0.101@front"];
    one.start_with(&options).unwrap();
    let events = Events::of(one);
    two.start_with(&options).unwrap();
    let conflict = events.wait_for("address-conflict", "10.1.0.101");
    assert!(conflict.reason.contains(&two.mac("front")), "{conflict:?}");
    one.namespace().ip("link set back down").unwrap();
    events.wait_for("link-down", "back");
    one.namespace().ip("link set back up").unwrap();
    events.wait_for("link-up", "back");
}
