//! The summaries and lines of the peers, and the differences from this director. Pure, but for the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lvs_api::model::ServiceId;
use lvs_api::peers::Comparison;
use lvs_api::role::{CarrierStatus, ReachStatus};
use lvs_dataplane::director::Configuration;
use lvs_health::{ConfiguredService, Reach};
use lvs_replication::peer::Instance;
use parking_lot::Mutex;

use super::lines::OwnLines;
use super::message::{Listing, Part, Summary};

/// Lines of a difference that are named on each side.
const NAMED: usize = 8;
/// Services that are named to a peer at most, of those that are not reached.
const UNREACHED: usize = 500;
/// Time, beside two rounds of health checks, for which a peer has to reach what this director does not: when servers
/// come back, one of both notices it first.
const LASTING: Duration = Duration::from_secs(1);

/// Time for which a peer has to have a carrier that this director lacks: of a switch between them one port goes first.
const CARRIER_LASTING: Duration = Duration::from_secs(2);

/// The peers' summaries and lines beside this director's.
#[derive(Debug, Default)]
pub(crate) struct Agreement(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The tables that the lines were rendered from.
    tables: Configuration,
    checked: Vec<ConfiguredService>,
    own: Arc<OwnLines>,
    theirs: BTreeMap<Instance, Theirs>,
    /// Services that a peer reaches and this director does not, and since when.
    elsewhere: BTreeMap<ServiceId, Instant>,
    /// Interfaces of the virtual addresses that are down or have no carrier; none: there are no virtual addresses.
    without_carrier: Option<BTreeSet<String>>,
    /// Since when a peer has the carrier that this director lacks.
    carrier_elsewhere: Option<Instant>,
}

/// The summary and the lines of a peer.
#[derive(Debug, Default)]
struct Theirs {
    summary: Option<Summary>,
    /// Its lines, with their digest, and whether they are complete.
    lines: BTreeSet<String>,
    digest: String,
    complete: bool,
}

impl Agreement {
    /// Sets what this director has now: what its tables are wanted to hold, and the services that are checked.
    pub(crate) fn refresh(
        &self,
        tables: Configuration,
        checked: Vec<ConfiguredService>,
        now: Instant,
    ) {
        {
            let known = self.0.lock();
            if known.tables == tables && known.checked == checked && !known.own.digest.is_empty() {
                return;
            }
        }
        let own = Arc::new(OwnLines::new(&tables, &checked));
        let mut known = self.0.lock();
        known.own = own;
        (known.tables, known.checked) = (tables, checked);
        known.follow_reach(now);
    }

    /// Sets which interfaces of the virtual addresses have no carrier; none: there are no virtual addresses.
    pub(crate) fn set_without_carrier(&self, interfaces: Option<BTreeSet<String>>, now: Instant) {
        let mut known = self.0.lock();
        known.without_carrier = interfaces;
        known.follow_carrier(now);
    }

    /// Lines of this director, as they were last set.
    pub(crate) fn own(&self) -> Arc<OwnLines> {
        Arc::clone(&self.0.lock().own)
    }

    /// Digest of this director's configuration, as it was last set.
    pub(crate) fn digest(&self) -> String {
        self.0.lock().own.digest.clone()
    }

    /// The summary for a peer: it is `not_taken` of whose connections are not here.
    pub(crate) fn summary(&self, to: Instance, not_taken: u64) -> Summary {
        let known = self.0.lock();
        let of = |wanted| {
            let all = known.checked.iter().filter(move |it| it.reach == wanted);
            all.map(|it| it.id)
        };
        let theirs = known.theirs.get(&to).and_then(|it| it.summary.as_ref());
        let theirs: BTreeSet<_> = theirs
            .iter()
            .flat_map(|it| &it.unreached)
            .copied()
            .collect();
        Summary {
            digest: known.own.digest.clone(),
            not_taken,
            unreached: of(Reach::None).take(UNREACHED).collect(),
            reached: of(Reach::Some).filter(|id| theirs.contains(id)).collect(),
            carrier: known.without_carrier.as_ref().map(BTreeSet::is_empty),
        }
    }

    /// Notes what a peer sent.
    pub(crate) fn received(&self, from: Instance, part: Part, now: Instant) {
        let mut known = self.0.lock();
        let theirs = known.theirs.entry(from).or_default();
        match part {
            Part::Summary(summary) => {
                theirs.summary = Some(summary);
                known.follow_reach(now);
                known.follow_carrier(now);
            }
            Part::Lines(Listing {
                digest,
                first,
                lines,
                complete,
            }) => {
                if first {
                    theirs.lines.clear();
                    theirs.digest = digest;
                }
                theirs.lines.extend(lines);
                theirs.complete = complete;
            }
        }
    }

    /// Forgets a peer: its session ended.
    pub(crate) fn left(&self, peer: Instance, now: Instant) {
        let mut known = self.0.lock();
        known.theirs.remove(&peer);
        known.follow_reach(now);
        known.follow_carrier(now);
    }

    /// The comparison of a peer with this director; none: the peer has sent nothing yet.
    pub(crate) fn comparison(&self, peer: Instance, not_taken_here: u64) -> Option<Comparison> {
        let known = self.0.lock();
        let theirs = known.theirs.get(&peer)?;
        let summary = theirs.summary.as_ref()?;
        let mut comparison = Comparison {
            differs: summary.digest != known.own.digest,
            not_taken_there: summary.not_taken,
            not_taken_here,
            ..Comparison::default()
        };
        if comparison.differs && theirs.digest == summary.digest {
            compare(&known.own.lines, theirs, &mut comparison);
        }
        Some(comparison)
    }

    /// The reach of real servers from here, for those who decide on the role.
    pub(crate) fn reach(&self, now: Instant) -> ReachStatus {
        let known = self.0.lock();
        let unreached = known.checked.iter().filter(|it| it.reach == Reach::None);
        let lasting = |it: &&ConfiguredService| {
            let since = known.elsewhere.get(&it.id);
            since.is_some_and(|since| now.duration_since(*since) >= LASTING + 2 * it.interval)
        };
        ReachStatus {
            services: known.checked.len() as u64,
            unreached: unreached.clone().map(|it| it.id).collect(),
            reached_elsewhere: unreached.filter(lasting).map(|it| it.id).collect(),
            asked: known.theirs.values().any(|it| it.summary.is_some()),
        }
    }

    /// The carrier of the interfaces of the virtual addresses, here and elsewhere.
    pub(crate) fn carrier(&self, now: Instant) -> CarrierStatus {
        let known = self.0.lock();
        let since = known.carrier_elsewhere;
        CarrierStatus {
            missing: known.without_carrier.iter().flatten().cloned().collect(),
            elsewhere: since.is_some_and(|since| now.duration_since(since) >= CARRIER_LASTING),
        }
    }

    /// True if this director has the carrier that a peer lacks.
    pub(crate) fn lacks_carrier(&self, peer: Instance) -> bool {
        let known = self.0.lock();
        let theirs = known.theirs.get(&peer).and_then(|it| it.summary.as_ref());
        known
            .without_carrier
            .as_ref()
            .is_some_and(BTreeSet::is_empty)
            && theirs.is_some_and(|it| it.carrier == Some(false))
    }
}

impl Known {
    fn follow_carrier(&mut self, now: Instant) {
        let missing = self
            .without_carrier
            .as_ref()
            .is_some_and(|it| !it.is_empty());
        let summaries = self.theirs.values().filter_map(|it| it.summary.as_ref());
        let elsewhere = summaries.map(|it| it.carrier).any(|it| it == Some(true));
        self.carrier_elsewhere =
            (missing && elsewhere).then(|| self.carrier_elsewhere.unwrap_or(now));
    }

    fn follow_reach(&mut self, now: Instant) {
        let summaries = self.theirs.values().filter_map(|it| it.summary.as_ref());
        let reached: BTreeSet<_> = summaries
            .flat_map(|it| it.reached.iter().copied())
            .collect();
        let unreached = self.checked.iter().filter(|it| it.reach == Reach::None);
        let elsewhere: BTreeSet<_> = unreached
            .map(|it| it.id)
            .filter(|id| reached.contains(id))
            .collect();
        self.elsewhere.retain(|id, _| elsewhere.contains(id));
        for id in elsewhere {
            self.elsewhere.entry(id).or_insert(now);
        }
    }
}

fn compare(own: &BTreeSet<String>, theirs: &Theirs, comparison: &mut Comparison) {
    // Of very many lines the last ones were not sent.
    let last = theirs.lines.last().filter(|_| !theirs.complete);
    let sent = |line: &&String| last.is_none_or(|last| *line <= last);
    let here: Vec<_> = own.difference(&theirs.lines).filter(sent).collect();
    let there: Vec<_> = theirs.lines.difference(own).collect();
    let named = |lines: &[&String]| lines.iter().take(NAMED).map(|it| (*it).clone()).collect();
    comparison.only_here = named(&here);
    comparison.only_there = named(&there);
    let more = here.len().saturating_sub(NAMED) + there.len().saturating_sub(NAMED);
    comparison.more = more as u64;
}

#[cfg(test)]
mod tests {
    use lvs_api::model::Protocol;
    use lvs_api::timeouts::Timeouts;

    use super::*;

    const PEER: Instance = Instance(7);

    /// A configuration of one line, `--set TCP 0 0`, which this returns, too.
    fn own(tcp: u32) -> (Configuration, String) {
        let timeouts = Some(Timeouts {
            tcp,
            tcp_fin: 0,
            udp: 0,
        });
        let tables = Configuration::new(Vec::new(), timeouts, Vec::new());
        (tables, format!("--set {tcp} 0 0"))
    }

    fn digest(tables: &Configuration) -> String {
        OwnLines::new(tables, &[]).digest
    }

    fn service(port: u16) -> ServiceId {
        ServiceId::Address {
            protocol: Protocol::Tcp,
            address: ([192, 0, 2, 10], port).into(),
        }
    }

    fn checked(port: u16, reach: Reach) -> ConfiguredService {
        ConfiguredService {
            id: service(port),
            settings: serde_json::from_value(serde_json::json!({ "scheduler": "rr" })).unwrap(),
            servers: Vec::new(),
            fallbacks: Vec::new(),
            reach,
            interval: Duration::from_secs(1),
        }
    }

    fn summary(digest: &str, reached: &[ServiceId]) -> Part {
        Part::Summary(Summary {
            digest: digest.to_owned(),
            reached: reached.to_vec(),
            ..Summary::default()
        })
    }

    fn lines(digest: &str, lines: &[&str], complete: bool) -> Part {
        Part::Lines(Listing {
            digest: digest.to_owned(),
            first: true,
            lines: lines.iter().map(|&line| line.to_owned()).collect(),
            complete,
        })
    }

    #[test]
    fn a_difference_is_named_from_both_sides() {
        let now = Instant::now();
        let agreement = Agreement::default();
        let (tables, line) = own(7);
        agreement.refresh(tables.clone(), Vec::new(), now);
        assert_eq!(agreement.comparison(PEER, 0), None);
        agreement.received(PEER, summary(&digest(&tables), &[]), now);
        let alike = agreement.comparison(PEER, 0).unwrap();
        assert_eq!(alike.sentences(), Vec::<String>::new());

        agreement.received(PEER, summary("other", &[]), now);
        // Its lines are on their way.
        let unnamed = agreement.comparison(PEER, 0).unwrap();
        assert_eq!(unnamed.sentences(), ["its configuration differs"]);
        agreement.received(PEER, lines("other", &["--set 9 0 0"], true), now);
        let named = agreement.comparison(PEER, 3).unwrap();
        assert_eq!(
            named.sentences(),
            [
                format!(
                    "its configuration differs: only here: `{line}'; only there: `--set 9 0 0'"
                ),
                "3 connections are there only, for want of their real server or of room here"
                    .to_owned(),
            ]
        );
        agreement.left(PEER, now);
        assert_eq!(agreement.comparison(PEER, 0), None);
    }

    #[test]
    fn lines_that_were_left_out_are_no_difference() {
        let now = Instant::now();
        let agreement = Agreement::default();
        agreement.refresh(own(7).0, Vec::new(), now);
        agreement.received(PEER, summary("other", &[]), now);
        agreement.received(PEER, lines("other", &["--set 6 0 0"], false), now);
        let comparison = agreement.comparison(PEER, 0).unwrap();
        assert_eq!(comparison.only_here, Vec::<String>::new());
        assert_eq!(comparison.only_there, ["--set 6 0 0"]);
    }

    #[test]
    fn what_a_peer_reaches_counts_once_it_lasts() {
        let begin = Instant::now();
        let agreement = Agreement::default();
        let reach = vec![checked(80, Reach::None), checked(81, Reach::Some)];
        agreement.refresh(own(7).0, reach, begin);
        assert_eq!(agreement.summary(PEER, 0).unreached, [service(80)]);
        agreement.received(PEER, summary("", &[service(80)]), begin);
        let at = |seconds| agreement.reach(begin + Duration::from_secs(seconds));
        assert_eq!(at(2).reached_elsewhere, []);
        assert_eq!(at(3).reached_elsewhere, [service(80)]);
        assert_eq!((at(3).services, at(3).asked), (2, true));
        // Both are cut off, or both reach it again.
        agreement.received(PEER, summary("", &[]), begin);
        assert_eq!(at(9).reached_elsewhere, []);
        assert_eq!(at(9).unreached, [service(80)]);
    }

    #[test]
    fn a_carrier_that_a_peer_has_counts_once_it_lasts() {
        let begin = Instant::now();
        let agreement = Agreement::default();
        let set = |names: &[&str], at| {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            agreement.set_without_carrier(Some(names), at);
        };
        let theirs = |carrier, at| {
            let carrier = Summary {
                carrier,
                ..Summary::default()
            };
            agreement.received(PEER, Part::Summary(carrier), at);
        };
        let at = |seconds| begin + Duration::from_secs(seconds);
        let elsewhere = |seconds| agreement.carrier(at(seconds)).elsewhere;
        assert_eq!(agreement.summary(PEER, 0).carrier, None);
        set(&[], begin);
        theirs(Some(true), begin);
        assert_eq!(agreement.summary(PEER, 0).carrier, Some(true));
        assert!(!elsewhere(9));
        set(&["eth0"], at(10));
        assert_eq!(agreement.summary(PEER, 0).carrier, Some(false));
        assert_eq!(agreement.carrier(at(10)).missing, ["eth0"]);
        assert!(!elsewhere(11) && elsewhere(12));
        // Their switch loses both ports, or the peer does not tell.
        for carrier in [Some(false), None] {
            theirs(carrier, at(11));
            assert!(!elsewhere(20));
            theirs(Some(true), at(20));
            assert!(!elsewhere(21) && elsewhere(22));
        }
        agreement.left(PEER, at(23));
        assert!(!elsewhere(30));
    }

    #[test]
    fn a_peer_without_carrier_is_told_from_one_where_both_lack_it() {
        let now = Instant::now();
        let agreement = Agreement::default();
        let theirs = Summary {
            carrier: Some(false),
            ..Summary::default()
        };
        agreement.received(PEER, Part::Summary(theirs), now);
        assert!(!agreement.lacks_carrier(PEER));
        agreement.set_without_carrier(Some(BTreeSet::new()), now);
        assert!(agreement.lacks_carrier(PEER));
        agreement.set_without_carrier(Some(BTreeSet::from(["eth0".to_owned()])), now);
        assert!(!agreement.lacks_carrier(PEER));
    }

    #[test]
    fn a_peer_is_told_what_of_its_unreached_services_is_reached_here() {
        let now = Instant::now();
        let agreement = Agreement::default();
        let reach = vec![checked(80, Reach::Some), checked(81, Reach::Some)];
        agreement.refresh(own(7).0, reach, now);
        assert_eq!(agreement.summary(PEER, 0).reached, []);
        let theirs = Summary {
            unreached: vec![service(81), service(82)],
            ..Summary::default()
        };
        agreement.received(PEER, Part::Summary(theirs), now);
        assert_eq!(agreement.summary(PEER, 0).reached, [service(81)]);
    }
}
