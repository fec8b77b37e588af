//! Delay of probes of healthy servers while others hang.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::{Host, Lab};
use parking_lot::Mutex;
use socket2::SockRef;

use crate::HealthLab;

const INTERVAL: Duration = Duration::from_secs(1);
/// Duration of the measurement.
const MEASURED: Duration = Duration::from_secs(20);
/// Port of the healthy servers.
const PORT: u16 = 81;

/// Moments at which each healthy server was probed.
type Probes = Arc<Mutex<HashMap<IpAddr, Vec<Instant>>>>;

/// One machine has the addresses of the healthy servers (10.9.0.0/16). Those of the others (10.8.0.0/16)
/// lead to it as well, and it is silent there: a probe waits for its whole time.
pub(crate) fn delays(servers: u16, hung: u16) -> Result<()> {
    println!("{servers} servers, {hung} of which hang; interval=1s negotiatetimeout=2s");
    let mut text = format!(
        "interval = 1s\nnegotiatetimeout = 2s\nvirtual = {}:80\n        service = nntp\n",
        virtual_address(Ipv4, Nat)
    );
    for (network, count) in [(9, servers - hung), (8, hung)] {
        let of = |number: u16| {
            let [third, fourth] = number.to_be_bytes();
            Ipv4Addr::new(10, network, third, fourth)
        };
        if count > 0 {
            writeln!(text, "        real = {}->{}:{PORT} masq", of(1), of(count))?;
        }
    }
    let probes = Probes::default();
    let prepare = |lab: &Lab| {
        let machine = lab.namespace(Host::Server(1));
        machine.ip("route add local 10.9.0.0/16 dev lo\n")?;
        let via = server(Ipv4, 1);
        let routes = format!("route add 10.9.0.0/16 via {via}\nroute add 10.8.0.0/16 via {via}\n");
        lab.director.namespace().ip(&routes)?;
        let listener = machine.enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)))??;
        // All are probed at once at first.
        SockRef::from(&listener).listen(4096)?;
        let seen = Arc::clone(&probes);
        // It ends with the program.
        thread::spawn(move || listen(&listener, &seen));
        Ok(())
    };
    let health = HealthLab::new(prepare, &text)?;
    let mut client = health.client()?;
    health.wait(&mut client, usize::from(servers - hung))?;
    let taken = || std::mem::take(&mut *probes.lock());
    taken();
    thread::sleep(MEASURED);
    let probes = taken();
    let pauses = probes.values().flat_map(|moments| moments.windows(2));
    let mut late: Vec<Duration> = pauses
        .map(|pair| (pair[1] - pair[0]).saturating_sub(INTERVAL))
        .collect();
    late.sort_unstable();
    let milliseconds = |part: usize| -> Result<f64> {
        let place = (late.len() * part / 1_000).min(late.len().saturating_sub(1));
        let late = late.get(place).context("nobody is probed")?;
        Ok(late.as_secs_f64() * 1_000.0)
    };
    println!(
        "  {} probes of {} healthy servers, late by {:.1} ms (median), {:.1} ms (99.9 %), {:.1} ms \
         (longest)",
        late.len(),
        probes.len(),
        milliseconds(500)?,
        milliseconds(999)?,
        milliseconds(1_000)?
    );
    Ok(())
}

/// Notes who is probed, and greets as news servers do: of a connection that says nothing the director's kernel
/// makes half of one only.
fn listen(listener: &TcpListener, probes: &Probes) {
    loop {
        let accepted = listener.accept();
        let now = Instant::now();
        let greet = |(mut stream, _): (TcpStream, SocketAddr)| {
            stream.write_all(b"200 here\r\n")?;
            stream.local_addr()
        };
        // Whoever asked may be gone.
        let Ok(address) = accepted.and_then(greet) else {
            continue;
        };
        let mut probes = probes.lock();
        probes.entry(address.ip()).or_default().push(now);
    }
}
