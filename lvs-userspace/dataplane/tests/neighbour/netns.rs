//! Network namespaces that last as long as a test.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs, process, thread};

use nix::sched::{CloneFlags, setns};
use nix::unistd::Uid;

/// A director's namespace and those of its servers, all removed with it.
///
/// Server N is joined by a veth pair: the director's end is `portN`, 10.0.N.1 and fd00:N::1,
/// 02:00:00:00:N:01; the server's end is `port`, 10.0.N.2 and fd00:N::2, 02:00:00:00:N:02.
pub(crate) struct Lab {
    prefix: String,
    namespaces: std::cell::RefCell<Vec<String>>,
}

/// Runs a test in a director's namespace of its own.
pub(crate) fn story<F: AsyncFnOnce(Lab) + Send + 'static>(test: F) {
    if !Uid::effective().is_root() {
        assert!(env::var_os("CI").is_none(), "network namespaces need root");
        eprintln!("skipped: network namespaces need root");
        return;
    }
    // Network namespaces belong to threads.
    let thread = thread::spawn(move || {
        let lab = Lab::new();
        enter(&lab.director());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test(lab));
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

impl Lab {
    fn new() -> Self {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("lvs-hop-{}-{number}", process::id());
        let lab = Self {
            prefix,
            namespaces: Vec::new().into(),
        };
        lab.add("director");
        lab
    }

    fn add(&self, name: &str) -> String {
        let namespace = format!("{}-{name}", self.prefix);
        command("ip", &["netns", "add", &namespace]);
        self.namespaces.borrow_mut().push(namespace.clone());
        command("ip", &["-n", &namespace, "link", "set", "dev", "lo", "up"]);
        // No second of waiting for duplicates of a link-local address.
        set(&namespace, "net.ipv6.conf.default.accept_dad=0");
        namespace
    }

    fn director(&self) -> String {
        format!("{}-director", self.prefix)
    }

    fn name(&self, server: u8) -> String {
        format!("{}-server{server}", self.prefix)
    }

    /// Adds a server.
    pub(crate) fn server(&self, n: u8) {
        let server = self.add(&format!("server{n}"));
        self.ip(&format!(
            "link add port{n} address 02:00:00:00:{n:02}:01 type veth \
             peer name port address 02:00:00:00:{n:02}:02 netns {server}"
        ));
        for (end, device) in [(1, format!("port{n}")), (2, "port".into())] {
            let namespace = if end == 1 {
                self.director()
            } else {
                server.clone()
            };
            let ip = |words: &str| ip(&namespace, words).unwrap();
            ip(&format!("addr add 10.0.{n}.{end}/24 dev {device}"));
            ip(&format!("addr add fd00:{n}::{end}/64 dev {device} nodad"));
            ip(&format!("link set dev {device} up"));
        }
        // Nobody is asked for over IPv6 without a link-local address, which comes with the carrier.
        wait_for_link_local(&self.director(), &format!("port{n}"));
        wait_for_link_local(&server, "port");
    }

    /// Runs `ip` in the director's namespace.
    pub(crate) fn ip(&self, words: &str) {
        self.try_ip(words).unwrap();
    }

    /// Likewise, where the kernel may lack what it takes.
    pub(crate) fn try_ip(&self, words: &str) -> Result<(), String> {
        ip(&self.director(), words)
    }

    /// Runs `ip` in a server's namespace.
    pub(crate) fn ip_in(&self, server: u8, words: &str) {
        ip(&self.name(server), words).unwrap();
    }

    /// Runs one `ip` with many commands in the director's namespace.
    pub(crate) fn ip_batch(&self, lines: impl Iterator<Item = String>) {
        let text = lines.fold(String::new(), |mut text, line| {
            writeln!(text, "{line}").unwrap();
            text
        });
        let mut ip = Command::new("ip")
            .args(["-n", &self.director(), "-batch", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        ip.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(ip.wait().unwrap().success());
    }

    /// Sends a datagram from a server to an address of the director.
    pub(crate) fn send_from(&self, server: u8, address: &str) {
        let namespace = self.name(server);
        let address: IpAddr = address.parse().unwrap();
        let send = move || {
            enter(&namespace);
            let any = if address.is_ipv4() {
                "0.0.0.0:0"
            } else {
                "[::]:0"
            };
            UdpSocket::bind(any)
                .unwrap()
                .send_to(b"hello", (address, 9))
                .unwrap();
        };
        thread::spawn(send).join().unwrap();
    }

    /// Sets a sysctl in the director's namespace.
    pub(crate) fn sysctl(&self, setting: &str) {
        set(&self.director(), setting);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in self.namespaces.borrow().iter() {
            Command::new("ip")
                .args(["netns", "del", namespace])
                .status()
                .ok();
        }
    }
}

/// Messages that the kernel could not deliver to netlink sockets in the calling thread's namespace.
pub(crate) fn netlink_drops() -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
    let column = |line: &str| line.split_whitespace().nth(8).map(str::parse);
    table
        .lines()
        .skip(1)
        .filter_map(column)
        .map(Result::<u64, _>::unwrap)
        .sum()
}

/// Index of an interface in the calling thread's namespace.
pub(crate) fn index(interface: &str) -> u32 {
    nix::net::if_::if_nametoindex(interface).unwrap()
}

/// Moves the calling thread.
fn enter(namespace: &str) {
    let namespace = File::open(format!("/run/netns/{namespace}")).unwrap();
    setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
}

fn set(namespace: &str, setting: &str) {
    command(
        "ip",
        &["netns", "exec", namespace, "sysctl", "-qw", setting],
    );
}

fn wait_for_link_local(namespace: &str, device: &str) {
    let arguments = [
        "-n", namespace, "-6", "address", "show", "dev", device, "scope", "link",
    ];
    for _ in 0..300 {
        if !Command::new("ip")
            .args(arguments)
            .output()
            .unwrap()
            .stdout
            .is_empty()
        {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{device} in {namespace} gets no link-local address");
}

fn ip(namespace: &str, words: &str) -> Result<(), String> {
    let words: Vec<_> = ["-n", namespace]
        .into_iter()
        .chain(words.split_whitespace())
        .collect();
    run("ip", &words)
}

fn command(program: &str, arguments: &[&str]) {
    run(program, arguments).unwrap();
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let failure = || format!("{program} {}: {said}", arguments.join(" "));
    output.status.success().then_some(()).ok_or_else(failure)
}
