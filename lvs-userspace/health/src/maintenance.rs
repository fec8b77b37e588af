//! The maintenance directory: a file in it that is named after a real server takes the server out.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::error;

use super::server::Server;

/// How often the directory is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Files that are looked at; the others are ignored.
const MOST: usize = 10_000;

/// How long the addresses of a name are taken to be right.
const FRESH: Duration = Duration::from_mins(1);

/// A server as a file's name has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Named<T> {
    host: T,
    port: Option<u16>,
}

/// The servers that files name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    addresses: HashSet<Named<IpAddr>>,
    names: HashSet<Named<String>>,
}

impl Maintained {
    /// What a file's name says: `ADDRESS`, `ADDRESS:PORT`, `NAME`, `NAME:PORT`; IPv6 addresses in
    /// brackets or, without a port, bare.
    fn add(&mut self, file: &str) {
        let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').parse();
        if let Ok(address) = file.parse::<SocketAddr>() {
            self.addresses.insert(Named {
                host: address.ip(),
                port: Some(address.port()),
            });
        } else if let Ok(host) = bare(file) {
            self.addresses.insert(Named { host, port: None });
        } else {
            let (host, port) = match file.rsplit_once(':') {
                Some((host, port)) if port.parse::<u16>().is_ok() => (host, port.parse().ok()),
                _ => (file, None),
            };
            let host = host.to_ascii_lowercase();
            self.names.insert(Named { host, port });
        }
    }

    /// Whether a file names this server: its address, or its name in the configuration, whole or to the
    /// first dot; with its port, or the one that is checked, or none.
    pub fn names(&self, server: &Server) -> bool {
        let configured = &server.configured;
        let checked = configured.checks.iter().map(|check| check.target.port());
        let ports = std::iter::once(configured.id.0.port()).chain(checked);
        let mut ports = std::iter::once(None).chain(ports.map(Some));
        let host = configured.id.address();
        let name = configured
            .name
            .as_ref()
            .map(|name| name.to_ascii_lowercase());
        let short = |name: &String| name.split('.').next().map(str::to_owned);
        let names: Vec<String> = [name.clone(), name.as_ref().and_then(short)]
            .into_iter()
            .flatten()
            .collect();
        ports.any(|port| {
            let named = |name: &String| Named {
                host: name.clone(),
                port,
            };
            self.addresses.contains(&Named { host, port })
                || names.iter().any(|name| self.names.contains(&named(name)))
        })
    }
}

/// Looks at the directory again and again. Names are looked up, here and not at each check, so that a
/// server that is configured by its address is found too.
#[derive(Debug, Default)]
pub struct Directory {
    looked_up: HashMap<String, (Instant, Vec<IpAddr>)>,
}

impl Directory {
    /// What the files say now. Waits for the disk and perhaps for name servers.
    pub fn look(&mut self, path: &Path, now: Instant) -> io::Result<Maintained> {
        let mut maintained = Maintained::default();
        let files = match std::fs::read_dir(path) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(maintained),
            Err(error) => return Err(error),
        };
        for file in files.take(MOST) {
            maintained.add(&file?.file_name().to_string_lossy());
        }
        self.looked_up.retain(|_, (when, _)| now < *when + FRESH);
        for name in &maintained.names {
            let looked_up = self.looked_up.entry(name.host.clone());
            let (_, addresses) = looked_up.or_insert_with(|| (now, look_up(&name.host)));
            maintained
                .addresses
                .extend(addresses.iter().map(|&host| Named {
                    host,
                    port: name.port,
                }));
        }
        Ok(maintained)
    }
}

/// A name that is none has no addresses.
fn look_up(name: &str) -> Vec<IpAddr> {
    dns_lookup::lookup_host(name).map_or_else(|_| Vec::new(), Iterator::collect)
}

/// Looks once, off the runtime's threads.
pub async fn look(path: Option<PathBuf>) -> Maintained {
    look_with(path, Directory::default()).await.0
}

async fn look_with(path: Option<PathBuf>, mut directory: Directory) -> (Maintained, Directory) {
    let Some(path) = path else {
        return (Maintained::default(), directory);
    };
    let work = move || {
        let maintained = directory
            .look(&path, Instant::now())
            .unwrap_or_else(|error| {
                error!(
                    "cannot read the maintenance directory {}: {error}",
                    path.display()
                );
                Maintained::default()
            });
        (maintained, directory)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

/// Looks again and again at the directory that is named, and tells what is new, until nobody wants to
/// know.
pub async fn follow(
    mut path: watch::Receiver<Option<PathBuf>>,
    mut tell: impl FnMut(Maintained) -> bool,
) {
    let mut directory = Directory::default();
    let mut told = Maintained::default();
    loop {
        let now = path.borrow_and_update().clone();
        let maintained;
        (maintained, directory) = look_with(now, directory).await;
        if maintained != told {
            told = maintained;
            if !tell(told.clone()) {
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            changed = path.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tests::real;

    fn check(file: &str, server: &str, name: Option<&str>) -> bool {
        let mut configured = real(server);
        configured.name = name.map(str::to_owned);
        let mut maintained = Maintained::default();
        maintained.add(file);
        maintained.names(&Server::new(configured, false))
    }

    #[test]
    fn files_are_named_by_address_or_name_with_or_without_port() {
        let server = "10.0.0.1:80";
        for file in ["10.0.0.1", "10.0.0.1:80"] {
            assert!(check(file, server, None), "{file}");
        }
        for file in ["10.0.0.1:81", "10.0.0.2", "web", ".", "a:b:c", "[", ""] {
            assert!(!check(file, server, None), "{file}");
        }
        for file in ["web.example.org", "web", "Web:80", "web.example.org:80"] {
            assert!(check(file, server, Some("web.example.org")), "{file}");
        }
        for file in ["[fd00::1]", "[fd00::1]:80", "fd00::1"] {
            assert!(check(file, "[fd00::1]:80", None), "{file}");
        }
    }

    #[test]
    fn a_directory_is_read_and_names_are_looked_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut directory = Directory::default();
        let mut names = |path: &Path| {
            let maintained = directory.look(path, Instant::now()).unwrap();
            maintained.names(&Server::new(real("127.0.0.1:80"), false))
        };
        assert!(!names(folder.path()));
        assert!(!names(&folder.path().join("missing")));
        std::fs::write(folder.path().join("localhost:80"), "").unwrap();
        assert!(names(folder.path()));
        std::fs::remove_file(folder.path().join("localhost:80")).unwrap();
        assert!(!names(folder.path()));
    }
}
