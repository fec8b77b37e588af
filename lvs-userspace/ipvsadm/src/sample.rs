//! Services and servers for tests, from the options that would make them.

use lvs_api::protocol::{Edit, Server, Service, Traffic};

use super::restore::parse_line;

/// A service without servers: `-t 192.0.2.10:80 -s rr` (`-p` is added where port 0 needs it).
pub(super) fn service(options: &str) -> Service {
    match parse_line(&format!("-A {options}")) {
        Ok(Some(Edit::AddService { service, settings })) => Service {
            id: service,
            settings,
            stats: Traffic::default(),
            rates: Traffic::default(),
            servers: Vec::new(),
            filter: None,
        },
        other => panic!("{options}: {other:?}"),
    }
}

/// A server: `10.0.0.1:80 -m -w 3`. It is read as one of a service that leaves its port alone.
pub(super) fn server(options: &str) -> Server {
    // A tunnel may cross families, so that one service does for all.
    let method = if options.contains(" -") { "" } else { "-i" };
    match parse_line(&format!("-a -f 1 -r {options} {method}")) {
        Ok(Some(Edit::AddServer {
            server, settings, ..
        })) => Server {
            id: server,
            settings,
            active: 0,
            inactive: 0,
            persistent: 0,
            stats: Traffic::default(),
            rates: Traffic::default(),
            next_hop: String::new(),
        },
        other => panic!("{options}: {other:?}"),
    }
}
