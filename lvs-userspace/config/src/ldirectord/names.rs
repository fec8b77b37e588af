//! Addresses of hosts: those that are names are looked up once, all at the same time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use dns_lookup::{AddrInfoHints, SockType};
use lvs_api::model::Family;
use parking_lot::Mutex;

use super::additions::{Queries, Query};
use super::keywords::Key;
use super::reader::{File, Target};
use super::settings::Value;

/// Names that are looked up at the same time: each may take as long as the resolver's own timeouts.
const AT_ONCE: usize = 64;

/// Looks a name up; an error is the reason why there is no address.
pub type Resolver<'a> = &'a (dyn Fn(&str, Family) -> Result<IpAddr, String> + Sync);

/// The addresses of all hosts of a file.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<(String, Family), Result<IpAddr, String>>);

impl Names {
    /// Looks up all names of a file.
    pub(super) fn of(file: &File, resolver: Resolver<'_>) -> Self {
        let names: HashSet<(String, Family)> = hosts(file)
            .filter(|(host, family)| literal(host, *family).is_none())
            .map(|(host, family)| (host.to_owned(), family))
            .collect();
        let threads = names.len().min(AT_ONCE);
        let queue = Mutex::new(names.into_iter());
        let found = Mutex::new(HashMap::new());
        let work = || {
            loop {
                // A guard in the condition of a `while let` would live as long as the body.
                let next = queue.lock().next();
                let Some((host, family)) = next else { break };
                let address = resolver(&host, family);
                let mut found = found.lock();
                found.insert((host, family), address);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        Self(found.into_inner())
    }

    /// The address of a host.
    pub(super) fn address(&self, host: &str, family: Family) -> Result<IpAddr, String> {
        match literal(host, family) {
            Some(address) => Ok(address),
            None => self
                .0
                .get(&(host.to_owned(), family))
                .cloned()
                .unwrap_or_else(|| Err("it was not looked up".to_owned())),
        }
    }
}

/// An address that is written as one.
pub(super) fn literal(host: &str, family: Family) -> Option<IpAddr> {
    match family {
        Family::Ipv4 => host.parse().ok().map(IpAddr::V4),
        Family::Ipv6 => host.parse().ok().map(IpAddr::V6),
    }
}

/// All hosts of a file.
fn hosts(file: &File) -> impl Iterator<Item = (&str, Family)> {
    let globals = file.globals.entries().iter().map(|entry| {
        let v6 = entry.key == Key::Fallback6;
        (entry, if v6 { Family::Ipv6 } else { Family::Ipv4 })
    });
    let sections = file.sections.iter().flat_map(|section| {
        let entries = section.settings.entries().iter();
        entries.map(|entry| (entry, section.family))
    });
    let targets = file
        .sections
        .iter()
        .filter_map(|section| match &section.target {
            Target::Address { host, .. } => Some((host.as_str(), section.family)),
            Target::Mark(_) | Target::Wrong => None,
        });
    let servers = globals.chain(sections).flat_map(|(entry, family)| {
        let hosts: Vec<&str> = match &entry.value {
            Value::Real(real) => std::iter::once(real.host.as_str())
                .chain(real.last.as_deref())
                .collect(),
            Value::Fallbacks(lines) => lines.iter().map(|line| line.host.as_str()).collect(),
            _ => Vec::new(),
        };
        hosts.into_iter().map(move |host| (host, family))
    });
    targets.chain(servers)
}

/// The names whose addresses are real servers, each once, and who is asked for them.
pub(super) fn queries(file: &File) -> Queries {
    let mut names = BTreeSet::new();
    for section in &file.sections {
        for entry in section.settings.entries() {
            if let Value::Servers(line) = &entry.value {
                names.insert(query(&line.host, section.family));
            }
        }
    }
    let nameserver = file.globals.get(Key::NameServer);
    Queries {
        nameserver: nameserver.and_then(|entry| match entry.value {
            Value::NameServer(address) => Some(address),
            _ => None,
        }),
        names: names.into_iter().collect(),
    }
}

/// The query for the name of a `servers` line.
pub(super) fn query(host: &str, family: Family) -> Query {
    Query {
        name: host.trim_end_matches('.').to_lowercase(),
        family,
    }
}

/// The resolver of this machine.
pub(super) fn system(host: &str, family: Family) -> Result<IpAddr, String> {
    let hints = AddrInfoHints {
        address: match family {
            Family::Ipv4 => libc::AF_INET,
            Family::Ipv6 => libc::AF_INET6,
        },
        socktype: SockType::Stream.into(),
        ..AddrInfoHints::default()
    };
    let mut found = dns_lookup::getaddrinfo(Some(host), None, Some(hints))
        .map_err(|error| std::io::Error::from(error).to_string())?;
    match found.next() {
        Some(Ok(info)) => Ok(info.sockaddr.ip()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it has no address".to_owned()),
    }
}
