//! The maintenance directory: a file in it that is named after a real server takes the server out.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::error;

use super::server::Server;

/// Interval between two reads of the directory.
const PERIOD: Duration = Duration::from_secs(1);

/// Most files that are read; further ones are ignored.
const MOST: usize = 10_000;

/// Time for which the resolved addresses of a name are kept.
const FRESH: Duration = Duration::from_mins(1);

/// Host and port of a server, as given by a file's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Named<T> {
    host: T,
    port: Option<u16>,
}

/// The servers that files name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MaintenanceFiles {
    addresses: HashSet<Named<IpAddr>>,
    names: HashSet<Named<String>>,
}

impl MaintenanceFiles {
    /// Parses a file's name: `ADDRESS`, `ADDRESS:PORT`, `NAME`, `NAME:PORT`; IPv6 addresses in
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

    /// Returns whether a file names this server: its address, or its name in the configuration, whole or to the
    /// first dot; with its port, or the one that is checked, or none.
    pub(crate) fn names(&self, server: &Server) -> bool {
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

/// The directory, with a cache of resolved names. Names are resolved here and not at each comparison, so that a
/// server that is configured by its address is found too.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    resolved: HashMap<String, (Instant, Vec<IpAddr>)>,
}

impl Directory {
    /// Reads the directory. Blocks on the disk and possibly on name servers.
    pub(crate) fn read(&mut self, path: &Path, now: Instant) -> io::Result<MaintenanceFiles> {
        let mut maintained = MaintenanceFiles::default();
        let files = match std::fs::read_dir(path) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(maintained),
            Err(error) => return Err(error),
        };
        for file in files.take(MOST) {
            maintained.add(&file?.file_name().to_string_lossy());
        }
        self.resolved.retain(|_, (when, _)| now < *when + FRESH);
        for name in &maintained.names {
            let resolved = self.resolved.entry(name.host.clone());
            let (_, addresses) = resolved.or_insert_with(|| (now, resolve(&name.host)));
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

/// The addresses of a name; none if it does not resolve.
fn resolve(name: &str) -> Vec<IpAddr> {
    dns_lookup::lookup_host(name).map_or_else(|_| Vec::new(), Iterator::collect)
}

/// Reads the directory once, off the runtime's threads.
pub(crate) async fn read(path: Option<PathBuf>) -> MaintenanceFiles {
    read_with(path, Directory::default()).await.0
}

async fn read_with(
    path: Option<PathBuf>,
    mut directory: Directory,
) -> (MaintenanceFiles, Directory) {
    let Some(path) = path else {
        return (MaintenanceFiles::default(), directory);
    };
    let work = move || {
        let maintained = directory
            .read(&path, Instant::now())
            .unwrap_or_else(|error| {
                error!(
                    "cannot read the maintenance directory {}: {error}",
                    path.display()
                );
                MaintenanceFiles::default()
            });
        (maintained, directory)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

/// Reads the directory again and again and sends what changed, until `send` returns false or the path's sender is
/// dropped.
pub(crate) async fn follow(
    mut path: watch::Receiver<Option<PathBuf>>,
    mut send: impl FnMut(MaintenanceFiles) -> bool,
) {
    let mut directory = Directory::default();
    let mut sent = MaintenanceFiles::default();
    loop {
        let now = path.borrow_and_update().clone();
        let maintained;
        (maintained, directory) = read_with(now, directory).await;
        if maintained != sent {
            sent = maintained;
            if !send(sent.clone()) {
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
        let mut maintained = MaintenanceFiles::default();
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
    fn a_directory_is_read_and_names_are_resolved() {
        let folder = tempfile::tempdir().unwrap();
        let mut directory = Directory::default();
        let mut names = |path: &Path| {
            let maintained = directory.read(path, Instant::now()).unwrap();
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
