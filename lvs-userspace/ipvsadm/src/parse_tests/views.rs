//! Command lines that list, and the rest.

use std::path::PathBuf;

use lvs_api::sync::SyncRole;

use super::super::*;
use super::{parsed, tcp};

#[test]
fn the_first_of_several_views_wins() {
    for (line, view) in [
        ("-Ln", View::Plain),
        ("-l -n --rate --stats", View::Stats),
        ("-Ln --thresholds --rate", View::Rate),
        ("-Ln --persistent-conn --thresholds", View::Thresholds),
        (
            "-Ln --tun-info --persistent-conn",
            View::PersistentConnections,
        ),
        ("-Ln --tun-info --syncid 4", View::TunnelInfo),
    ] {
        let listing = Listing {
            view,
            numeric: true,
            exact: false,
            sort: true,
        };
        assert_eq!(
            parsed(line),
            Ok(Command::Services {
                only: None,
                listing
            }),
            "{line}"
        );
    }
}

#[test]
fn everything_else_is_understood_too() {
    let everything = Listing {
        view: View::Plain,
        numeric: false,
        exact: true,
        sort: false,
    };
    for (line, command) in [
        (
            "-L -X --nosort",
            Command::Services {
                only: None,
                listing: everything,
            },
        ),
        (
            "-L -t 1.2.3.4:80 -X --nosort",
            Command::Services {
                only: Some(tcp("1.2.3.4:80")),
                listing: everything,
            },
        ),
        (
            "-Lcn",
            Command::Connections {
                numeric: true,
                engines: false,
            },
        ),
        (
            "-L -c --persistent-conn --tun-info",
            Command::Connections {
                numeric: false,
                engines: true,
            },
        ),
        ("-L --timeout -n --tun-info", Command::Timeouts),
        ("-L --daemon", Command::SyncDaemons),
        ("-Sn", Command::Save { numeric: true }),
        ("-S --sort", Command::Save { numeric: false }),
        ("-R", Command::Restore { atomic: false }),
        ("-R --atomic", Command::Restore { atomic: true }),
        ("-C", Command::Edit(Edit::Flush)),
        ("-Z", Command::Edit(Edit::Zero { service: None })),
        (
            "-Z -t 1.1.1.1:1",
            Command::Edit(Edit::Zero {
                service: Some(tcp("1.1.1.1:1")),
            }),
        ),
        ("-h foo", Command::Help),
        ("-help", Command::Help),
        ("-v -A", Command::Version),
        (
            "--stop-daemon master --syncid 5",
            Command::StopDaemon(SyncRole::Master),
        ),
        ("--verdicts -X", Command::Verdicts { all: true }),
        ("--status", Command::Status),
    ] {
        assert_eq!(parsed(line), Ok(command), "{line}");
    }
    let nothing = Listing {
        view: View::Plain,
        numeric: false,
        exact: false,
        sort: true,
    };
    assert_eq!(
        parsed(""),
        Ok(Command::Services {
            only: None,
            listing: nothing
        })
    );
}

#[test]
fn the_socket_may_be_named_anywhere() {
    for line in ["--socket /x -L", "-L --socket=/x", "--socket /x"] {
        let words = line.split(' ').map(str::to_owned).collect();
        let invocation = parse("lvsadm", words).expect(line);
        assert_eq!(invocation.socket, Some(PathBuf::from("/x")));
        assert!(matches!(invocation.command, Command::Services { .. }));
    }
}
