//! Failed requests of clients while one server crashes, another hangs, and both come back.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::lab::addresses::virtual_address;
use parking_lot::Mutex;

use crate::health_lab::{HealthLab, QUICK, reals, virtual_service};

/// Clients at a time: half of them keep their connection, the others make one for each request.
const CLIENTS: u64 = 16;
/// How long a client waits.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(10);

/// What clients have met with.
#[derive(Default)]
struct Costs {
    requests: AtomicU64,
    failures: Mutex<Vec<(Instant, io::ErrorKind)>>,
    over: AtomicBool,
}

impl Costs {
    /// Requests that failed between two moments, and how long after the first the last of them did.
    fn failed(&self, from: Instant, to: Instant) -> (usize, Duration) {
        let failures = self.failures.lock();
        let within = failures
            .iter()
            .filter(|(moment, _)| (from..to).contains(moment));
        let last = within.clone().map(|(moment, _)| *moment - from).max();
        (within.count(), last.unwrap_or_default())
    }

    /// Asks again and again until it is over.
    fn browse(&self, address: IpAddr, keep: bool) {
        let mut kept = None;
        while !self.over.load(Ordering::Relaxed) {
            match request(&mut kept, address) {
                Ok(()) => {
                    self.requests.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    let failure = (Instant::now(), error.kind());
                    self.failures.lock().push(failure);
                    kept = None;
                }
            }
            if !keep {
                kept = None;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// A request over the connection that was kept, or a new one.
fn request(kept: &mut Option<TcpStream>, address: IpAddr) -> io::Result<()> {
    let connection = if let Some(connection) = kept {
        connection
    } else {
        let connection = TcpStream::connect_timeout(&SocketAddr::new(address, 80), TIMEOUT)?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        kept.insert(connection)
    };
    connection.write_all(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    let mut answer = Vec::new();
    while !is_whole(&answer) {
        let mut portion = [0; 1024];
        match connection.read(&mut portion)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => answer.extend_from_slice(&portion[..count]),
        }
    }
    Ok(())
}

/// Whether an answer has come to its end: its body is one line.
fn is_whole(answer: &[u8]) -> bool {
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n");
    end.is_some_and(|end| answer[end + 4..].ends_with(b"\n"))
}

#[test]
fn what_clients_lose_ends_with_the_server() {
    let file = |ondown: &str, redispatch: &str| {
        let lines = reals(&[1, 2, 3])
            + "checktype = negotiate\nservice = http\n"
            + &format!("ondown = {ondown}\nredispatch = {redispatch}\n");
        QUICK.to_owned() + &virtual_service(&lines)
    };
    let Some(mut health) = HealthLab::of(&file("keep", "no")) else {
        return;
    };
    let ways = [
        ("keep", "no"),
        ("reset", "no"),
        ("reset", "yes"),
        ("reschedule", "yes"),
    ];
    for (ondown, redispatch) in ways {
        health.write(&file(ondown, redispatch));
        health.reload().unwrap();
        health.becomes("1=5 2=5 3=5");
        let costs = Costs::default();
        let table = lose(&mut health, &costs);
        println!("ondown = {ondown}, redispatch = {redispatch}: {table}");
    }
}

/// One server crashes, another hangs, both come back, under load.
fn lose(health: &mut HealthLab, costs: &Costs) -> String {
    let address = virtual_address(Ipv4, Nat);
    let client = health.lab.client.namespace().clone();
    thread::scope(|scope| {
        scope.spawn(move || {
            client
                .enter(|| {
                    thread::scope(|scope| {
                        for number in 0..CLIENTS {
                            scope.spawn(move || costs.browse(address, number % 2 == 0));
                        }
                    });
                })
                .unwrap();
        });
        let story = events(health, costs);
        costs.over.store(true, Ordering::Relaxed);
        story
    })
}

fn events(health: &mut HealthLab, costs: &Costs) -> String {
    // Everybody has a connection.
    let settle = || thread::sleep(Duration::from_millis(300));
    let server = |number: u8| usize::from(number) - 1;
    settle();
    let crash = Instant::now();
    health.lab.servers[server(1)].crash();
    health.becomes("2=5 3=5");
    settle();
    let hang = Instant::now();
    health.lab.servers[server(2)].hang().unwrap();
    health.becomes("3=5");
    // Until those have given up who wait for it.
    thread::sleep(TIMEOUT);
    let back = Instant::now();
    health.lab.servers[server(1)].recover().unwrap();
    health.lab.servers[server(2)].wake().unwrap();
    health.becomes("1=5 2=5 3=5");
    settle();
    let end = Instant::now();

    let requests = costs.requests.load(Ordering::Relaxed);
    assert!(requests > CLIENTS, "{requests} requests");
    // Connections may be slow on a busy machine; none is refused or broken any more.
    let slow = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
    let failures = costs.failures.lock().clone();
    let broken = failures
        .iter()
        .find(|(moment, kind)| *moment > back && !slow.contains(kind));
    assert_eq!(broken, None, "after all servers were back");
    let told =
        |(count, last): (usize, Duration)| format!("{count} failed, the last after {last:.2?}");
    format!(
        "{requests} requests of {CLIENTS} clients; crash: {}; hang: {}; return: {}",
        told(costs.failed(crash, hang)),
        told(costs.failed(hang, back)),
        told(costs.failed(back, end))
    )
}
