//! Clients of the control socket: so many at once. Where there is no room for another one, the one that has been quiet
//! for longest is disconnected: other users' before root's, those whose request is being carried out last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// Most clients at once.
pub(super) const CLIENTS: usize = 256;

/// A client that sent or received something since is not disconnected for another one.
const QUIET: Duration = Duration::from_millis(100);

/// Time of the last byte that a client sent or received.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    begin: Instant,
    /// Milliseconds after `begin`.
    last: Arc<AtomicU64>,
    /// Its request is being carried out.
    busy: Arc<AtomicBool>,
}

impl Activity {
    fn new(begin: Instant) -> Self {
        Self {
            begin,
            last: Arc::default(),
            busy: Arc::default(),
        }
    }

    /// Notes that a request is being carried out, or that it is not any more.
    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    /// Notes that something was sent or received.
    pub(super) fn note(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.begin).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.last.store(passed, Ordering::Relaxed);
    }

    fn at(&self) -> Instant {
        self.begin + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

struct Client {
    number: u64,
    is_root: bool,
    activity: Activity,
    /// None until its task has begun.
    task: Option<AbortHandle>,
}

/// The clients that are connected.
#[derive(Default)]
pub(super) struct Clients(Mutex<State>);

#[derive(Default)]
struct State {
    clients: Vec<Client>,
    next: u64,
}

/// A place among the clients, free again once it is dropped.
pub(super) struct Place {
    clients: Arc<Clients>,
    number: u64,
    pub(super) activity: Activity,
}

impl Clients {
    /// A place for a client, if need be that of another one; none while all others are active.
    pub(super) fn admit(self: &Arc<Self>, is_root: bool, now: Instant) -> Option<Place> {
        let mut state = self.0.lock();
        if state.clients.len() >= CLIENTS {
            let quietest = (0..state.clients.len()).min_by_key(|index| {
                let client = &state.clients[*index];
                let busy = client.activity.busy.load(Ordering::Relaxed);
                (client.is_root, busy, client.activity.at())
            })?;
            let client = &state.clients[quietest];
            // Root makes room for nobody but root, and waits for nobody else.
            if client.is_root && !is_root {
                return None;
            }
            let outranked = is_root && !client.is_root;
            if !outranked && now.saturating_duration_since(client.activity.at()) < QUIET {
                return None;
            }
            if let Some(task) = state.clients.swap_remove(quietest).task {
                task.abort();
            }
        }
        let activity = Activity::new(now);
        let number = state.next;
        state.next += 1;
        state.clients.push(Client {
            number,
            is_root,
            activity: activity.clone(),
            task: None,
        });
        Some(Place {
            clients: Arc::clone(self),
            number,
            activity,
        })
    }

    /// The task of a client, which is aborted to disconnect it.
    pub(super) fn set_task(&self, number: u64, task: AbortHandle) {
        let mut state = self.0.lock();
        match state
            .clients
            .iter_mut()
            .find(|client| client.number == number)
        {
            Some(client) => client.task = Some(task),
            // It is gone already: by itself, or because its place was needed.
            None => task.abort(),
        }
    }
}

impl Place {
    /// Its number, which no other has.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.clients.0.lock();
        state.clients.retain(|client| client.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(2);

    fn numbers(clients: &Clients) -> Vec<u64> {
        let mut numbers: Vec<_> = clients.0.lock().clients.iter().map(|c| c.number).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn the_quietest_client_makes_room_and_others_before_root() {
        let clients = Arc::new(Clients::default());
        let begin = Instant::now();
        let mut places: Vec<_> = (0..CLIENTS)
            .map(|index| clients.admit(index != 5, begin).unwrap())
            .collect();
        // All are active: root takes the place of the one that is not, another user waits.
        assert!(clients.admit(false, begin).is_none());
        places.push(clients.admit(true, begin).unwrap());
        assert!(!numbers(&clients).contains(&5));
        assert!(clients.admit(true, begin).is_none());
        // Once they are quiet, the one that has been for longest.
        let now = begin + LATER;
        for place in places.iter().filter(|place| place.number() != 7) {
            place.activity.note(now);
        }
        places[8].activity.note(begin);
        places[8].activity.set_busy(true);
        // Not for another user, since it is root's.
        assert!(clients.admit(false, now).is_none());
        places.push(clients.admit(true, now).unwrap());
        assert!(!numbers(&clients).contains(&7));
        assert!(numbers(&clients).contains(&8));
        assert_eq!(numbers(&clients).len(), CLIENTS);
        // Who ends by itself leaves its place, and one that was taken takes none along.
        drop(places);
        assert!(numbers(&clients).is_empty());
    }
}
