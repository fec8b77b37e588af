//! A site of two machines with the director installed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lvs_tests::eventually;
use lvs_tests::lab::{Page, Site, installation, programs, skipped};

/// The files that `cargo xtask install` installs on a director: once for all sites.
fn director() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("installed");
        installation::install_for_site(&folder, &[]).unwrap();
        folder
    })
}

/// A site with both directors switched on, or `None` where there can be none.
pub(crate) fn site(segments: &[&str], needed: &[&str]) -> Option<Site> {
    let needed = [&["ip", "ethtool", "nginx", "curl"], needed].concat();
    if skipped(programs(&needed)) {
        return None;
    }
    let site = Site::new(segments, director()).unwrap_or_else(|error| panic!("{error:#}"));
    for name in ["lvs1", "lvs2"] {
        site.boot(name).unwrap_or_else(|error| panic!("{error:#}"));
    }
    Some(site)
}

/// Waits until a line of shell on a host says this.
#[track_caller]
pub(crate) fn says(site: &Site, host: &str, line: &str, expected: &str) {
    let mut last = String::new();
    let holds = eventually(Site::PATIENCE, || {
        last = match site.run(host, line) {
            Ok(ended) => ended.said.trim().to_owned(),
            Err(error) => format!("{error:#}"),
        };
        last == expected
    });
    assert!(holds, "{host}: `{line}` says {last:?}, not {expected:?}");
}

/// A file of ldirectord for both real servers.
pub(crate) const FILE: &str = "
checkinterval=1
virtual=10.0.0.3:80
\treal=10.0.0.11:80 gate
\treal=10.0.0.12:80 gate
\tservice=http
\trequest=\"/\"
";

/// A virtual address of a site, and the servers that answer at it.
pub(crate) struct Serving<'a> {
    site: &'a Site,
    address: &'a str,
    gateway: Option<&'a str>,
}

impl<'a> Serving<'a> {
    pub(crate) fn new(site: &'a Site, address: &'a str) -> Self {
        Self {
            site,
            address,
            gateway: None,
        }
    }

    /// The real servers' gateway moves with it.
    pub(crate) fn with_gateway(mut self, gateway: &'a str) -> Self {
        self.gateway = Some(gateway);
        self
    }

    /// Follows a page while lvs1 starts as the master, dies and comes back.
    #[track_caller]
    pub(crate) fn through_a_crash(&self, page: &mut Page) {
        for section in ["The real servers", "The directors", "Start"] {
            page.follow(self.site, section);
        }
        self.only("lvs1");

        let crashed = Instant::now();
        self.site.crash("lvs1").unwrap();
        self.again("crash", crashed);
        page.follow(self.site, "When lvs1 dies");
        self.only("lvs2");

        self.site.boot("lvs1").unwrap();
        page.follow(self.site, "When lvs1 comes back");
        self.only("lvs1");
    }

    /// Waits until a director alone has the address, and a client who asks it gets answers through it.
    #[track_caller]
    pub(crate) fn only(&self, name: &str) {
        for address in [self.address].into_iter().chain(self.gateway) {
            let shown = format!("ip -4 -o address show to {address} | wc -l");
            for director in ["lvs1", "lvs2"] {
                let expected = if director == name { "1" } else { "0" };
                if self.site.director(director).is_on() {
                    says(self.site, director, &shown, expected);
                }
            }
        }
        // The director's own count: not what a real server would say to a client that asked it.
        let before = self.packets(name);
        let answered = eventually(Site::PATIENCE, || self.is_answered());
        assert!(answered, "{} answers nobody", self.address);
        assert!(self.packets(name) > before, "{name} did not forward it");
    }

    fn is_answered(&self) -> bool {
        let line = format!("curl --silent --max-time 1 http://{}/", self.address);
        let ended = self.site.run("client", &line).unwrap();
        ended.success && ended.said.starts_with("www")
    }

    /// Packets that a director's services have seen.
    fn packets(&self, name: &str) -> u64 {
        let line = "lvsadm -Ln --stats --exact | awk '$1 == \"TCP\" { print $4 }'";
        let said = self.site.director(name).does(line).unwrap();
        said.lines()
            .filter_map(|number| number.parse::<u64>().ok())
            .sum()
    }

    /// Waits for the first answer after something happened, and prints how long it took.
    #[track_caller]
    pub(crate) fn again(&self, what: &str, since: Instant) {
        let answered = eventually(Site::PATIENCE, || self.is_answered());
        assert!(answered, "{} answers nobody after a {what}", self.address);
        let pause = since.elapsed();
        println!("{}: answers {pause:?} after the {what}", self.address);
    }
}

/// Watches the directors for times at which none of them has an address.
pub(crate) struct Gap {
    stop: Arc<AtomicBool>,
    watching: JoinHandle<Duration>,
}

impl Gap {
    /// From now on.
    pub(crate) fn watch(site: &Site, address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (over, address) = (Arc::clone(&stop), address.to_owned());
        let directors = ["lvs1", "lvs2"].map(|name| site.namespace(name));
        let watching = std::thread::spawn(move || {
            let (mut longest, mut begun) = (Duration::ZERO, None);
            while !over.load(Ordering::Relaxed) {
                let words = ["-4", "-o", "address", "show", "to", &address];
                let held = directors.iter().any(|director| {
                    let shown = director.run("ip", &words);
                    // A machine that is being booted has no address.
                    shown.is_ok_and(|shown| !shown.is_empty())
                });
                match (held, begun) {
                    (true, _) => begun = None,
                    (false, None) => begun = Some(Instant::now()),
                    (false, Some(begun)) => longest = longest.max(begun.elapsed()),
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            longest
        });
        Self { stop, watching }
    }

    /// The longest of these times so far; ends the watch.
    pub(crate) fn longest(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.join().unwrap()
    }
}

/// Prints what a line of shell says on both directors, if the story fails.
pub(crate) fn explain<'a>(site: &'a Site, line: &'a str) -> impl Drop + 'a {
    struct Explained<'a>(&'a Site, &'a str);
    impl Drop for Explained<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                for name in ["lvs1", "lvs2"] {
                    println!(
                        "{name}: {:#?}",
                        self.0.run(name, self.1).map(|ended| ended.said)
                    );
                }
            }
        }
    }
    Explained(site, line)
}

/// A client's connection that is kept.
pub(crate) struct Held(TcpStream);

impl Held {
    pub(crate) fn open(site: &Site, address: &str) -> Self {
        let connect = || TcpStream::connect(address);
        let stream = site.namespace("client").enter(connect).unwrap().unwrap();
        stream.set_read_timeout(Some(Site::PATIENCE)).unwrap();
        Self(stream)
    }

    /// Waits until a director knows it, of a client with this address.
    #[track_caller]
    pub(crate) fn is_known(&self, site: &Site, director: &str, client: &str) {
        let port = self.0.local_addr().unwrap().port();
        let known = format!("lvsadm -Lcn | grep -c 'ESTABLISHED {client}:{port} '");
        says(site, director, &known, "1");
    }

    /// Asks for the server's name.
    #[track_caller]
    pub(crate) fn ask(&mut self) -> String {
        self.0
            .write_all(b"GET / HTTP/1.1\r\nHost: www\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        // The name is the last line.
        while !answer.ends_with(b"www1\n") && !answer.ends_with(b"www2\n") {
            let length = self.0.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "it was closed");
            answer.extend_from_slice(&buffer[..length]);
        }
        let text = String::from_utf8_lossy(&answer);
        text.lines().last().unwrap_or_default().to_owned()
    }
}
