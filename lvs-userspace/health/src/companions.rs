//! The watches of a virtual service's real servers whose checks are of one kind: whether only one of these servers is
//! silent.
//!
//! Servers are compared that serve at the moment. Those of one host at most are found hung at a time: what several
//! hosts share, a database or a rack, is no reason to take them out.

use std::sync::Arc;
use std::time::Instant;

use lvs_api::model::ServiceId;
use parking_lot::Mutex;

use super::check::Check;

/// Others that are asked at once.
const ASKED: usize = 3;

/// A watch as its companions see it.
#[derive(Debug)]
pub(crate) struct Companion {
    check: Arc<Check>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Its outcomes make it up, and it is not paused.
    up: bool,
    /// The virtual services that schedule new connections to it.
    serves: Vec<ServiceId>,
    /// From then on the probe under way takes longer than is usual.
    late: Option<Instant>,
    /// The last hang that was counted.
    hung: Option<Instant>,
}

impl Seen {
    fn serves(&self, service: ServiceId) -> bool {
        self.up && self.serves.contains(&service)
    }
}

/// All watches of a virtual service whose checks are of one kind.
pub(crate) type Companions = Arc<[Arc<Companion>]>;

impl Companion {
    fn serves(&self, service: ServiceId) -> bool {
        self.seen.lock().serves(service)
    }

    /// Records whether its outcomes make it up, and it is not paused.
    pub(crate) fn set_up(&self, up: bool) {
        self.seen.lock().up = up;
    }

    /// Records whether a service schedules new connections to it.
    pub(crate) fn set_serves(&self, service: ServiceId, serves: bool) {
        let all = &mut self.seen.lock().serves;
        all.retain(|other| *other != service);
        all.extend(serves.then_some(service));
    }

    /// Records that a probe begins, and when it will take longer than is usual; `None`: that it has ended.
    pub(crate) fn set_late(&self, late: Option<Instant>) {
        self.seen.lock().late = late;
    }
}

/// A watch and all its companions.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) own: Arc<Companion>,
    groups: Mutex<Vec<(ServiceId, Companions)>>,
}

impl Comparison {
    /// Without companions.
    pub(crate) fn new(check: Arc<Check>) -> Self {
        let seen = Mutex::default();
        Self {
            own: Arc::new(Companion { check, seen }),
            groups: Mutex::default(),
        }
    }

    /// Sets the companions of this service, this watch among them; `None`: it is no longer one of them.
    pub(crate) fn set(&self, service: ServiceId, companions: Option<Companions>) {
        let mut groups = self.groups.lock();
        groups.retain(|(other, _)| *other != service);
        groups.extend(companions.map(|companions| (service, companions)));
    }

    /// Draws servers on other hosts that are to be asked: a few of those that serve beside this one.
    pub(crate) fn draw(&self) -> Vec<Arc<Check>> {
        let mut drawn: Vec<Arc<Companion>> = Vec::new();
        for (service, all) in self.groups.lock().iter() {
            if self.own.serves(*service) {
                let other = |it: &&Arc<Companion>| {
                    self.is_elsewhere(it)
                        && it.serves(*service)
                        && !drawn.iter().any(|known| Arc::ptr_eq(known, it))
                };
                let more = fastrand::choose_multiple(all.iter().filter(other), ASKED);
                drawn.extend(more.into_iter().map(Arc::clone));
            }
        }
        fastrand::shuffle(&mut drawn);
        drawn.truncate(ASKED);
        drawn.iter().map(|it| Arc::clone(&it.check)).collect()
    }

    /// Counts a hang of this server, if only its host is silent: another one is left to serve, no probe of others
    /// takes longer than is usual, and none of them was found hung less than the time of its check ago.
    pub(crate) fn count_hang(&self, now: Instant) -> bool {
        let groups = self.groups.lock();
        let served = groups.iter().filter(|(it, _)| self.own.serves(*it));
        let mut served = served.peekable();
        let alone = served.peek().is_some()
            && served.all(|(service, all)| self.is_alone(*service, all, now));
        if alone {
            self.own.seen.lock().hung = Some(now);
        }
        alone
    }

    fn is_elsewhere(&self, other: &Companion) -> bool {
        other.check.target.ip() != self.own.check.target.ip()
    }

    fn is_alone(&self, service: ServiceId, all: &Companions, now: Instant) -> bool {
        let mut others_serve = false;
        // What else is on this host may hang with it.
        for other in all.iter().filter(|it| self.is_elsewhere(it)) {
            let seen = other.seen.lock();
            let within = |hung: Instant| now.saturating_duration_since(hung) < other.check.timeout;
            let serves = seen.serves(service);
            let late = serves && seen.late.is_some_and(|late| late <= now);
            if late || seen.hung.is_some_and(within) {
                return false;
            }
            others_serve |= serves;
        }
        others_serve
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::Kind;
    use crate::testing::check;

    const MS: Duration = Duration::from_millis(1);
    const SERVICE: ServiceId = ServiceId::Mark {
        mark: 1,
        family: lvs_api::family::Family::Ipv4,
    };

    /// Servers of a service that are up and serve, by their addresses.
    fn servers(addresses: &[&str]) -> Vec<Comparison> {
        let made = addresses.iter().map(|address| {
            let check = check(Kind::Connect, address.parse().unwrap());
            let comparison = Comparison::new(Arc::new(check));
            comparison.own.set_up(true);
            comparison.own.set_serves(SERVICE, true);
            comparison
        });
        let made: Vec<_> = made.collect();
        let all: Companions = made.iter().map(|it| Arc::clone(&it.own)).collect();
        for one in &made {
            one.set(SERVICE, Some(Arc::clone(&all)));
        }
        made
    }

    fn drawn(comparison: &Comparison) -> Vec<String> {
        let drawn = comparison.draw();
        let mut drawn: Vec<_> = drawn.iter().map(|it| it.target.to_string()).collect();
        drawn.sort();
        drawn
    }

    #[test]
    fn three_distinct_servers_on_other_hosts_are_asked() {
        let all = servers(&["10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80", "10.0.0.3:80"]);
        let other = ServiceId::Mark {
            mark: 2,
            family: lvs_api::family::Family::Ipv4,
        };
        // Companions in two services.
        let both: Companions = all.iter().map(|it| Arc::clone(&it.own)).collect();
        for one in &all {
            one.own.set_serves(other, true);
            one.set(other, Some(Arc::clone(&both)));
        }
        assert_eq!(drawn(&all[0]), ["10.0.0.2:80", "10.0.0.3:80"]);
        let many: Vec<_> = (1..=9).map(|host| format!("10.0.0.{host}:80")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let all = servers(&many);
        let mut ever = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut three = drawn(&all[0]);
            three.dedup();
            assert_eq!(three.len(), 3);
            ever.extend(three);
        }
        assert!(ever.into_iter().eq(many[1..].iter().copied()));
    }

    #[test]
    fn servers_that_do_not_serve_are_neither_asked_nor_left_to_serve() {
        let all = servers(&["10.0.0.1:80", "10.0.0.2:80"]);
        let now = Instant::now();
        for change in [Companion::set_up, |it: &Companion, on| {
            it.set_serves(SERVICE, on);
        }] {
            for number in [0, 1] {
                change(&all[number].own, false);
                assert!(all[0].draw().is_empty());
                assert!(!all[0].count_hang(now));
                change(&all[number].own, true);
            }
        }
        assert_eq!(all[0].draw().len(), 1);
        assert!(all[0].count_hang(now));
    }

    #[test]
    fn one_host_at_a_time_is_found_hung() {
        let all = servers(&["10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80", "10.0.0.3:80"]);
        let begun = Instant::now();
        let late = begun + 50 * MS;
        all[1].own.set_late(Some(late));
        all[2].own.set_late(Some(late));
        assert!(!all[0].count_hang(late), "another host is silent, too");
        all[2].own.set_late(None);
        all[3].own.set_late(Some(late + MS));
        assert!(all[0].count_hang(late), "only one on the same host is");
        assert!(all[1].count_hang(late));
        all[0].own.set_up(false);
        for one in &all {
            one.own.set_late(None);
        }
        let whole = all[0].own.check.timeout;
        assert!(
            !all[2].count_hang(late + whole.saturating_sub(MS)),
            "one hung just now"
        );
        assert!(all[2].count_hang(late + whole));
    }

    #[test]
    fn the_last_host_that_serves_does_not_hang() {
        let all = servers(&["10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"]);
        all[2].own.set_up(false);
        assert!(!all[0].count_hang(Instant::now()));
    }
}
