//! The servers of names: answers, and when to ask again. Pure: time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lvs_config::ldirectord::{Found, Query};

use super::client::Answer;

/// Shortest time until a name server is asked again, whatever the time to live.
const FLOOR: Duration = Duration::from_secs(1);
/// Longest time.
const CEILING: Duration = Duration::from_mins(1);
/// Time after an answer without records, or none.
const RETRY: Duration = Duration::from_secs(5);
/// Most servers of one name.
const MOST: usize = 256;

/// A name.
#[derive(Clone, Debug, Default)]
struct Name {
    /// Its servers, in order.
    servers: Vec<Found>,
    /// It was answered for at least once, maybe before a restart.
    known: bool,
    /// When it is asked for again; none: at once.
    due: Option<Instant>,
    /// The reason why it is not answered for.
    trouble: Option<String>,
}

/// All names.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(BTreeMap<Query, Name>);

/// The changes by an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// The name has other servers.
    pub(super) changed: bool,
    /// A line for people, if there is something new.
    pub(super) line: Option<String>,
    /// The line is about something that is not as it should be.
    pub(super) trouble: bool,
}

impl Names {
    /// Names that were answered for before a restart.
    pub(super) fn new(found: Vec<(Query, Vec<Found>)>) -> Self {
        let name = |(query, servers)| {
            let name = Name {
                servers,
                known: true,
                ..Name::default()
            };
            (query, name)
        };
        Self(found.into_iter().map(name).collect())
    }

    /// Follows these names and no others; those that stay keep their servers.
    pub(super) fn follow(&mut self, queries: &[Query]) {
        self.0.retain(|query, _| queries.contains(query));
        for query in queries {
            self.0.entry(query.clone()).or_default();
        }
    }

    /// Asks for all of them at once.
    pub(super) fn forget_times(&mut self) {
        self.0.values_mut().for_each(|name| name.due = None);
    }

    /// The servers of each name.
    pub(super) fn found(&self) -> BTreeMap<Query, Vec<Found>> {
        let known = self.0.iter().filter(|(_, name)| name.known);
        known
            .map(|(query, name)| (query.clone(), name.servers.clone()))
            .collect()
    }

    /// Names that are to be asked for now. Those without an answer are again after a while.
    pub(super) fn pop_due(&mut self, now: Instant) -> Vec<Query> {
        let due = self.due(now);
        for query in &due {
            if let Some(name) = self.0.get_mut(query) {
                name.due = Some(now + RETRY);
            }
        }
        due
    }

    fn due(&self, now: Instant) -> Vec<Query> {
        let due = self
            .0
            .iter()
            .filter(|(_, name)| name.due.is_none_or(|due| due <= now));
        due.map(|(query, _)| query.clone()).collect()
    }

    /// When the next one is; none: there is no name.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let long_ago = Instant::now;
        self.0
            .values()
            .map(|name| name.due.unwrap_or_else(long_ago))
            .min()
    }

    /// Names that are not answered for.
    pub(super) fn troubles(&self) -> BTreeMap<String, String> {
        let troubled = self
            .0
            .iter()
            .filter_map(|(query, name)| Some((query.name.clone(), name.trouble.clone()?)));
        troubled.collect()
    }

    /// Records an answer.
    pub(super) fn record(&mut self, query: &Query, answer: Answer, now: Instant) -> News {
        let Some(name) = self.0.get_mut(query) else {
            return News::default();
        };
        let (mut servers, pause, trouble) = match answer {
            Answer::Servers(servers, ttl) => (servers, ttl.clamp(FLOOR, CEILING), None),
            Answer::Empty(why) => (Vec::new(), RETRY, Some(why)),
            Answer::Failed(why) => {
                name.due = Some(now + RETRY);
                let count = name.servers.len();
                let line = format!(
                    "servers of {}: {why}: the last {count} servers stay",
                    query.name
                );
                return name.news(false, Some(why), line);
            }
        };
        name.due = Some(now + pause);
        servers.sort_unstable();
        servers.dedup();
        let left_out = servers.len().saturating_sub(MOST);
        servers.truncate(MOST);
        let changed = !name.known || name.servers != servers;
        name.servers = servers;
        name.known = true;
        if left_out > 0 {
            let text = format!("{left_out} of {} servers are left out", left_out + MOST);
            let line = format!("servers of {}: {text}", query.name);
            return name.news(changed, Some(text), line);
        }
        let line = match &trouble {
            Some(why) => format!("servers of {}: there are none: {why}", query.name),
            None => format!("servers of {}: {}", query.name, list(&name.servers)),
        };
        name.news(changed, trouble, line)
    }
}

impl Name {
    /// The news are told once: the same trouble again is none.
    fn news(&mut self, changed: bool, trouble: Option<String>, line: String) -> News {
        let told = !changed && self.trouble == trouble;
        let is_trouble = trouble.is_some();
        self.trouble = trouble;
        News {
            changed,
            line: (!told).then_some(line),
            trouble: is_trouble,
        }
    }
}

/// Addresses for people, the first ones.
fn list(servers: &[Found]) -> String {
    const SHOWN: usize = 8;
    let text = |found: &Found| match found.port {
        Some(port) => std::net::SocketAddr::new(found.address, port).to_string(),
        None => found.address.to_string(),
    };
    let shown: Vec<_> = servers.iter().take(SHOWN).map(text).collect();
    let more = servers.len().saturating_sub(SHOWN);
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    shown.join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use lvs_api::model::Family;

    use super::*;

    fn query() -> Query {
        Query {
            name: "web.example.com".to_owned(),
            family: Family::Ipv4,
        }
    }

    fn found(last: u8) -> Found {
        Found {
            address: [10, 0, 0, last].into(),
            port: None,
            weight: None,
            backup: false,
        }
    }

    fn answer(last: &[u8], ttl: u64) -> Answer {
        let servers = last.iter().map(|last| found(*last)).collect();
        Answer::Servers(servers, Duration::from_secs(ttl))
    }

    fn names() -> Names {
        let mut names = Names::default();
        names.follow(&[query()]);
        names
    }

    #[test]
    fn a_name_is_asked_for_again_by_its_time_to_live_within_bounds() {
        let now = Instant::now();
        let mut names = names();
        assert_eq!(names.due(now), [query()]);
        for (ttl, seconds) in [(0, 1), (30, 30), (86_400, 60)] {
            names.record(&query(), answer(&[1], ttl), now);
            assert_eq!(names.next_due(), Some(now + Duration::from_secs(seconds)));
            assert_eq!(names.due(now), []);
        }
    }

    #[test]
    fn the_order_of_records_is_no_change() {
        let now = Instant::now();
        let mut names = names();
        assert!(names.record(&query(), answer(&[1, 2], 1), now).changed);
        let again = names.record(&query(), answer(&[2, 1, 1], 1), now);
        assert_eq!(again, News::default());
        assert!(names.record(&query(), answer(&[2], 1), now).changed);
    }

    #[test]
    fn a_failure_keeps_the_servers_and_is_told_once() {
        let now = Instant::now();
        let mut names = names();
        names.record(&query(), answer(&[1, 2], 1), now);
        let failure = || Answer::Failed("no name server answers".to_owned());
        let news = names.record(&query(), failure(), now);
        assert!(!news.changed && news.trouble);
        assert!(news.line.unwrap().contains("the last 2 servers stay"));
        assert_eq!(names.record(&query(), failure(), now).line, None);
        assert_eq!(names.found()[&query()].len(), 2);
        assert_eq!(names.troubles().len(), 1);
        // The same servers again: the trouble is over, which is told.
        let news = names.record(&query(), answer(&[1, 2], 1), now);
        assert!(!news.changed && !news.trouble && news.line.is_some());
        assert!(names.troubles().is_empty());
    }

    #[test]
    fn an_answer_without_records_means_that_there_are_none() {
        let now = Instant::now();
        let mut names = names();
        names.record(&query(), answer(&[1, 2], 1), now);
        let news = names.record(&query(), Answer::Empty("no such name".to_owned()), now);
        assert!(news.changed && news.line.unwrap().contains("there are none: no such name"));
        assert_eq!(names.found()[&query()], []);
    }

    #[test]
    fn more_servers_than_the_bound_are_left_out() {
        let now = Instant::now();
        let mut names = names();
        let servers = (0..300_u16).map(|number| Found {
            address: [10, 0, (number >> 8) as u8, (number & 255) as u8].into(),
            ..found(0)
        });
        let answer = Answer::Servers(servers.collect(), FLOOR);
        let news = names.record(&query(), answer, now);
        assert!(
            news.line
                .unwrap()
                .contains("44 of 300 servers are left out")
        );
        assert_eq!(names.found()[&query()].len(), MOST);
    }
}
