//! NNTP checks of Leafnode.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use lvs_api::model::Family::Ipv4;
use lvs_health::checkers::nntp::Nntp;
use lvs_tests::lab::{Island, find};

use crate::asker::Asker;
use crate::faulty_proxy::{FaultyProxy, Manner, spoil};

#[test]
fn leafnode_is_good_if_it_greets_readers() {
    let Some(island) = Island::for_story(&["leafnode", "unshare"]) else {
        return;
    };
    let asker = Asker { island: &island };
    let news = serve(&island, "news.lvs-lab.org");
    let good =
        format!("greeting \"200 Leafnode * running at news.lvs-lab.org*\" from 10.9.0.1:{news}");
    asker.good(news, &Nntp, &good);

    // It refuses to serve under a name that is not the only one in the world.
    let nameless = serve(&island, "localhost");
    let refused = format!(
        "greeting \"503 Leafnode must have*\" from 10.9.0.1:{nameless}, expected 200 or 201"
    );
    asker.bad(nameless, &Nntp, &refused);

    spoil(&asker, news, &Nntp, &[0, 10]);
    let silent = FaultyProxy::start(&island, news, 2, Manner::Silence);
    let text = format!("no greeting from 10.9.0.1:{} in LIMIT", silent.port);
    asker.silent(silent.port, &Nntp, &text);
    let closed = FaultyProxy::start(&island, news, 2, Manner::Close);
    let text = format!(
        "no greeting from 10.9.0.1:{}: connection closed",
        closed.port
    );
    asker.bad(closed.port, &Nntp, &text);
}

/// Starts leafnode for each connection, as it is made for; it reads its configuration from one place
/// only, so each has its own file there. Returns the port; ends with the island.
fn serve(island: &Island, name: &str) -> u16 {
    let configuration = island.folder().join(format!("leafnode-{name}"));
    fs::write(
        &configuration,
        format!("server = news.invalid\nexpire = 20\nhostname = {name}\n"),
    )
    .unwrap();
    let listen = || TcpListener::bind((Island::address(Ipv4), 0)).unwrap();
    let listener = island.namespace().enter(listen).unwrap();
    let port = listener.local_addr().unwrap().port();
    let namespace = island.namespace().clone();
    let leafnode = find("leafnode").unwrap();
    thread::spawn(move || {
        // The test's end ends this.
        for connection in listener.incoming().flatten() {
            let mut command = under(&configuration, &leafnode);
            let input = OwnedFd::from(connection.try_clone().unwrap());
            command
                .stdin(input)
                .stdout(OwnedFd::from(connection))
                .stderr(Stdio::null());
            if let Ok(mut child) = namespace.spawn(&mut command) {
                thread::spawn(move || child.wait());
            }
        }
    });
    port
}

/// A program to which a file of ours is the configuration of leafnode.
fn under(configuration: &Path, program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]);
    command.arg("mount --bind \"$1\" /etc/news/leafnode/config && exec \"$2\"");
    command.arg("sh").arg(configuration).arg(program);
    command
}
