//! Clients that ask too often, or guess passwords. Pure: the time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Requests of one client per second, and how many of them may come at once.
const RATE: f64 = 50.0;
const BURST: f64 = 200.0;

/// Wrong passwords of one client before it has to wait.
const FREE: u32 = 3;

/// The first wait, which each further wrong password doubles, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Wrong passwords are forgotten after this time without another one.
const FORGOTTEN: Duration = Duration::from_mins(15);

/// Clients that are remembered at most.
const REMEMBERED: usize = 4096;

/// The clients, and what each has done.
#[derive(Debug, Default)]
pub(crate) struct Throttle(HashMap<IpAddr, Client>);

#[derive(Debug)]
struct Client {
    /// Requests that it may make now, as of `seen`.
    room: f64,
    seen: Instant,
    failures: u32,
    failed: Option<Instant>,
}

/// An attempt at a password.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Of how many wrong ones of this client it is the last, if it is wrong.
    pub(crate) number: u32,
    /// When the one before was made.
    before: Option<Instant>,
    made: Instant,
}

impl Client {
    const fn new(now: Instant) -> Self {
        Self {
            room: BURST,
            seen: now,
            failures: 0,
            failed: None,
        }
    }

    fn wait(&self) -> Duration {
        match self.failures.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(more) => FIRST_WAIT
                .saturating_mul(1 << more.min(6))
                .min(LONGEST_WAIT),
        }
    }
}

impl Throttle {
    /// Notes a request. `Err`: there are too many; the time after which it may be made again.
    pub(crate) fn request(&mut self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let client = self.client(client, now);
        let passed = now.saturating_duration_since(client.seen).as_secs_f64();
        client.room = (client.room + passed * RATE).min(BURST);
        client.seen = now;
        if client.room < 1.0 {
            return Err(Duration::from_secs(1));
        }
        client.room -= 1.0;
        Ok(())
    }

    /// Notes an attempt, which counts as wrong until it [succeeded](Self::succeeded). `Err`: the time after which one
    /// may be made.
    pub(crate) fn attempt(&mut self, client: IpAddr, now: Instant) -> Result<Attempt, Duration> {
        let client = self.client(client, now);
        if let Some(failed) = client.failed {
            let passed = now.saturating_duration_since(failed);
            if passed >= FORGOTTEN {
                client.failures = 0;
                client.failed = None;
            }
            if let Some(left) = client.wait().checked_sub(passed)
                && !left.is_zero()
            {
                return Err(left);
            }
        }
        let before = client.failed.replace(now);
        client.failures = client.failures.saturating_add(1);
        Ok(Attempt {
            number: client.failures,
            before,
            made: now,
        })
    }

    /// Takes an attempt back that was right after all.
    pub(crate) fn succeeded(&mut self, client: IpAddr, attempt: &Attempt) {
        let Some(client) = self.0.get_mut(&network(client)) else {
            return;
        };
        client.failures = client.failures.saturating_sub(1);
        if client.failures == 0 {
            client.failed = None;
        } else if client.failed == Some(attempt.made) {
            client.failed = attempt.before;
        }
    }

    fn client(&mut self, client: IpAddr, now: Instant) -> &mut Client {
        let network = network(client);
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&network) {
            self.forget(now);
        }
        self.0.entry(network).or_insert_with(|| Client::new(now))
    }

    /// Makes room: for want of others, of those that were not seen for longest.
    fn forget(&mut self, now: Instant) {
        let quiet =
            |client: &Client, of: Duration| now.saturating_duration_since(client.seen) >= of;
        self.0
            .retain(|_, client| client.failed.is_some() || !quiet(client, Duration::from_secs(10)));
        if self.0.len() >= REMEMBERED {
            let mut seen: Vec<_> = self.0.values().map(|client| client.seen).collect();
            seen.sort_unstable();
            let half = seen[seen.len() / 2];
            self.0.retain(|_, client| client.seen > half);
        }
    }
}

/// The client that an address belongs to: of IPv6 a network of 64 bits, as hosts choose addresses in theirs.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn requests_beyond_the_rate_are_refused_until_there_is_room_again() {
        let (mut throttle, begin) = (Throttle::default(), Instant::now());
        let made = (0..1000)
            .filter(|_| throttle.request(CLIENT, begin).is_ok())
            .count();
        assert_eq!(made, 200);
        let later = begin + Duration::from_secs(1);
        let made = (0..1000)
            .filter(|_| throttle.request(CLIENT, later).is_ok())
            .count();
        assert_eq!(made, 50);
        assert!(
            throttle
                .request(IpAddr::from([192, 0, 2, 2]), begin)
                .is_ok()
        );
    }

    #[test]
    fn who_guesses_passwords_waits_longer_each_time() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..12 {
            if let Err(wait) = throttle.attempt(CLIENT, now) {
                waits.push(wait.as_secs());
                now += wait;
                assert!(throttle.attempt(CLIENT, now).is_ok());
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(throttle.attempt(IpAddr::from([192, 0, 2, 2]), now).is_ok());
        let number = throttle
            .attempt(CLIENT, now + FORGOTTEN)
            .map(|it| it.number);
        assert_eq!(number, Ok(1));
    }

    #[test]
    fn right_passwords_are_taken_back() {
        let (mut throttle, begin) = (Throttle::default(), Instant::now());
        for second in 0..10 {
            let now = begin + Duration::from_secs(second);
            let attempt = throttle.attempt(CLIENT, now).unwrap();
            throttle.succeeded(CLIENT, &attempt);
        }
        let number = throttle.attempt(CLIENT, begin).map(|it| it.number);
        assert_eq!(number, Ok(1));
    }

    #[test]
    fn clients_that_are_remembered_are_bounded() {
        let (mut throttle, begin) = (Throttle::default(), Instant::now());
        for number in 0..20_000_u32 {
            let now = begin + Duration::from_millis(u64::from(number));
            let _ = throttle.attempt(IpAddr::from(number.to_be_bytes()), now);
            assert!(throttle.0.len() <= REMEMBERED);
        }
    }
}
