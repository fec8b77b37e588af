//! Reports about next hops, and waiting for them.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use lvs_dataplane::neighbour::{Change, Followed, Links, Neighbours, NextHop, Resolution};
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::timeout;

/// Longest wait for a change. Most are known at once, but the kernel itself announces a lost carrier
/// up to a second late (`linkwatch`), and the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The last report for each address.
pub(crate) struct Reports {
    _neighbours: Neighbours,
    followed: watch::Sender<Followed>,
    changes: Receiver<Vec<Change>>,
    latest: HashMap<IpAddr, Resolution>,
}

impl Reports {
    pub(crate) fn of<const N: usize>(addresses: [&str; N]) -> Self {
        let followed = watch::Sender::<Followed>::default();
        let started = Neighbours::start(&Links::default(), followed.subscribe());
        let (neighbours, changes) = started.unwrap();
        let reports = Self {
            _neighbours: neighbours,
            followed,
            changes,
            latest: HashMap::new(),
        };
        reports.follow(addresses);
        reports
    }

    pub(crate) fn follow<const N: usize>(&self, addresses: [&str; N]) {
        self.follow_all(&addresses.map(|text| text.parse().unwrap()).into());
    }

    pub(crate) fn follow_all(&self, addresses: &BTreeSet<IpAddr>) {
        self.followed
            .send_if_modified(|followed| followed.set(|| addresses.iter().copied()));
    }

    /// Waits until an address is reported so.
    pub(crate) async fn until(
        &mut self,
        address: &str,
        limit: Duration,
        so: impl Fn(&Resolution) -> bool,
    ) {
        let address: IpAddr = address.parse().unwrap();
        let wait = async {
            while !self.latest.get(&address).is_some_and(&so) {
                let changes = self.changes.recv().await.expect("next hops are followed");
                self.latest
                    .extend(changes.into_iter().map(|one| (one.address, one.resolution)));
            }
        };
        let report = timeout(limit, wait).await;
        let latest = self.latest.get(&address);
        assert!(
            report.is_ok(),
            "{address} is not reported so in {limit:?}: {latest:?}"
        );
    }

    /// Waits until an address is resolved to a neighbour's MAC address.
    pub(crate) async fn resolved(&mut self, address: &str, destination: [u8; 6]) -> NextHop {
        self.until(address, SOON, |resolution| {
            matches!(resolution, Resolution::Resolved(hop) if hop.destination == destination)
        })
        .await;
        match &self.latest[&address.parse().unwrap()] {
            Resolution::Resolved(hop) => hop.clone(),
            other => unreachable!("{other:?}"),
        }
    }

    /// Waits until an address is unresolved, for a reason with these words.
    pub(crate) async fn unresolved(&mut self, address: &str, limit: Duration, words: &str) {
        self.until(address, limit, |resolution| match resolution {
            Resolution::Unresolved(why) | Resolution::Unreachable(why) => why.contains(words),
            _ => false,
        })
        .await;
    }

    /// Nothing may be reported for that long.
    pub(crate) async fn silence(&mut self, time: Duration) {
        let report = timeout(time, self.changes.recv()).await;
        assert!(report.is_err(), "reported without a change: {report:?}");
    }

    /// Waits until so many addresses are resolved to a neighbour's MAC address, and no others.
    pub(crate) async fn all(&mut self, count: usize, destination: [u8; 6]) {
        let through = hop_is(|hop| hop.destination == destination);
        let wait = async {
            while self.latest.len() != count || !self.latest.values().all(&through) {
                let changes = self.changes.recv().await.expect("next hops are followed");
                self.latest
                    .extend(changes.into_iter().map(|one| (one.address, one.resolution)));
            }
        };
        timeout(Duration::from_secs(30), wait)
            .await
            .expect("all are reported in time");
    }
}

/// A condition for [`Reports::until`].
pub(crate) fn hop_is(so: impl Fn(&NextHop) -> bool) -> impl Fn(&Resolution) -> bool {
    move |resolution| matches!(resolution, Resolution::Resolved(hop) if so(hop))
}
