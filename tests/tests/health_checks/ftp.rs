//! FTP checks of vsftpd.

use std::fs::{self, File};

use lvs_api::model::Family::Ipv6;
use lvs_health::checkers::ftp::Ftp;
use lvs_health::pattern::Pattern;
use lvs_tests::lab::Island;
use lvs_tests::lab::island::Server;

use crate::asker::{Asker, assert_says, credentials, pattern};
use crate::faulty_proxy::{FaultyProxy, Manner, spoil};

#[test]
fn vsftpd_is_good_if_it_has_the_file() {
    let Some(island) = Island::for_story(&["vsftpd"]) else {
        return;
    };
    let vsftpd = vsftpd(&island);
    let asker = Asker { island: &island };
    let ftp = |login: &str, request: &str, receive: Option<Pattern>| Ftp {
        credentials: credentials(login, "ldirectord@host"),
        request: request.to_owned(),
        receive,
    };
    let file = ftp("anonymous", "check.txt", Some(pattern("^hello")));

    asker.good(21, &file, "file of 15 bytes from 10.9.0.1:21");
    let over_ipv6 = asker.ask(Ipv6, 21, file.clone());
    assert_says(&over_ipv6, true, "file of 15 bytes from [fd00:9::1]:21");
    asker.good(21, &ftp("anonymous", "", None), "login to 10.9.0.1:21");
    asker.good(
        21,
        &ftp("", "", None),
        "greeting \"220 (vsFTPd *)\" from 10.9.0.1:21",
    );

    asker.bad(
        21,
        &ftp("anonymous", "check.txt", Some(pattern("goodbye"))),
        "file \"hello from ftp\" from 10.9.0.1:21, expected \"goodbye\"",
    );
    asker.bad(
        21,
        &ftp("anonymous", "none.txt", None),
        "answer to RETR \"550 Failed to open file.\" from 10.9.0.1:21, expected 125 or 150",
    );
    asker.bad(
        21,
        &ftp("alice", "check.txt", None),
        "answer to USER \"530 This FTP server is anonymous only.\" from 10.9.0.1:21, \
         expected 230 or 331",
    );
    asker.bad(
        21,
        &ftp("anonymous\r\nDELE x", "check.txt", None),
        "10.9.0.1:21 not probed: a line end in a name, a password or a request",
    );
    asker.bad(
        21,
        &ftp("anonymous", "large", None),
        "an answer of more than 1048576 bytes from 10.9.0.1:21",
    );

    let reset = FaultyProxy::start(&island, 21, 60, Manner::Reset);
    asker.bad(
        reset.port,
        &file,
        "no * 10.9.0.1:*: connection reset by peer",
    );
    spoil(&asker, 21, &file, &[0, 10, 30]);
    vsftpd.freeze();
    asker.silent(21, &file, "no greeting from 10.9.0.1:21 in LIMIT");
    vsftpd.thaw();
    vsftpd.stop().unwrap();
    asker.bad(21, &file, "connection to 10.9.0.1:21 refused");
}

fn vsftpd(island: &Island) -> Server {
    let folder = island.make_folder("ftp", "root").unwrap();
    for name in ["files", "empty"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    fs::write(folder.join("files/check.txt"), "hello from ftp\n").unwrap();
    let large = File::create(folder.join("files/large")).unwrap();
    large.set_len(100 << 20).unwrap();
    let folder = folder.display();
    let settings = format!(
        "listen_ipv6=YES
background=NO
anonymous_enable=YES
local_enable=NO
anon_root={folder}/files
secure_chroot_dir={folder}/empty
isolate=NO
isolate_network=NO
seccomp_sandbox=NO
"
    );
    let configuration = format!("{folder}/vsftpd.conf");
    fs::write(&configuration, settings).unwrap();
    island.start("vsftpd", &[&configuration], 21).unwrap()
}
