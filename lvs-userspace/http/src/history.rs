//! The history that a single snapshot lacks: most connections at once, rates of the last minutes, events of before.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lvs_api::health::Event;
use lvs_api::model::ServiceId;
use lvs_api::protocol::Services;
use parking_lot::Mutex;

use crate::snapshot::Source;

/// From one sample to the next.
const INTERVAL: Duration = Duration::from_secs(10);

/// Samples that are kept: those of five minutes.
pub(crate) const SAMPLES: usize = 30;

/// Events that are kept.
const EVENTS: usize = 200;

/// A virtual service, or one of its real servers.
type Key = (ServiceId, Option<SocketAddr>);

/// The history.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Readers keep what they were given, while the next sample is taken of a copy.
    kept: Mutex<Arc<Kept>>,
    /// The latest last.
    events: Mutex<VecDeque<Arc<Event>>>,
}

/// The history of services and servers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    series: HashMap<Key, Series>,
    rounds: u64,
}

/// The history of a service or server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Series {
    /// Most connections at once, active and inactive, of all samples.
    pub(crate) most: u32,
    /// Most new connections per second.
    pub(crate) most_rate: u32,
    /// New connections per second, the latest last.
    pub(crate) rates: VecDeque<u32>,
    round: u64,
}

impl History {
    /// Follows a source until the task is aborted.
    pub(crate) async fn follow(self: Arc<Self>, source: Arc<dyn Source>) {
        let mut events = source.events();
        let mut timer = tokio::time::interval(INTERVAL);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.event(event),
                    None => return,
                },
                _ = timer.tick() => {
                    let Some(services) = source.services().await else { return };
                    let history = Arc::clone(&self);
                    // There may be thousands of real servers.
                    let sampled = tokio::task::spawn_blocking(move || history.sample(&services));
                    if sampled.await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// The history of services and servers.
    pub(crate) fn kept(&self) -> Arc<Kept> {
        Arc::clone(&self.kept.lock())
    }

    /// So many of the events, the latest first.
    pub(crate) fn events(&self, most: usize) -> Vec<Arc<Event>> {
        self.events
            .lock()
            .iter()
            .rev()
            .take(most)
            .cloned()
            .collect()
    }

    fn event(&self, event: Arc<Event>) {
        let mut events = self.events.lock();
        if events.len() >= EVENTS {
            events.pop_front();
        }
        events.push_back(event);
    }

    fn sample(&self, services: &Services) {
        Arc::make_mut(&mut self.kept.lock()).sample(services);
    }
}

impl Kept {
    /// The history of a service or server.
    pub(crate) fn series(&self, service: ServiceId, server: Option<SocketAddr>) -> Option<&Series> {
        self.series.get(&(service, server))
    }

    fn sample(&mut self, services: &Services) {
        self.rounds += 1;
        for service in &services.services {
            let mut open = 0;
            for server in &service.servers {
                let own = server.active.saturating_add(server.inactive);
                open += own;
                self.add(
                    (service.id, Some(server.id.0)),
                    own,
                    server.rates.connections,
                );
            }
            self.add((service.id, None), open, service.rates.connections);
        }
        let round = self.rounds;
        self.series.retain(|_, series| series.round == round);
    }

    fn add(&mut self, key: Key, open: u32, rate: u64) {
        let series = self.series.entry(key).or_default();
        let rate = u32::try_from(rate).unwrap_or(u32::MAX);
        series.round = self.rounds;
        series.most = series.most.max(open);
        series.most_rate = series.most_rate.max(rate);
        if series.rates.len() >= SAMPLES {
            series.rates.pop_front();
        }
        series.rates.push_back(rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::services;

    #[test]
    fn the_most_is_kept_and_rates_of_the_last_minutes() {
        let mut kept = Kept::default();
        let mut now = services(1, 2);
        let (service, server) = (now.services[0].id, now.services[0].servers[1].id.0);
        for round in 0..40 {
            now.services[0].servers[1].active = if round == 3 { 90 } else { 1 };
            now.services[0].servers[1].inactive = 5;
            now.services[0].servers[1].rates.connections = round;
            kept.sample(&now);
        }
        let series = kept.series(service, Some(server)).unwrap();
        assert_eq!((series.most, series.most_rate), (95, 39));
        assert_eq!(
            series.rates.iter().copied().collect::<Vec<_>>(),
            (10..40).collect::<Vec<_>>()
        );
        now.services[0].servers.pop();
        kept.sample(&now);
        let gone = if now.services[0].servers[0].id.0 == server {
            None
        } else {
            kept.series(service, Some(server))
        };
        assert_eq!(gone, None);
        assert!(kept.series(service, None).is_some());
    }
}
