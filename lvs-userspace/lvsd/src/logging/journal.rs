//! systemd's journal: events with their fields, where the output that the log would go to is the journal's.
//!
//! The journal's own layer sends in the thread that has the event, and waits for a journald that does not read. So the
//! events are copied and played to it by the thread that writes the log.

use std::fmt;
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::sys::stat::fstat;
use tracing::field::{Field, Value, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::queue;

/// The journal's own layer. No [`tracing::Dispatch`]: another one would have every event of every level asked about.
type Sender = Arc<dyn Subscriber + Send + Sync>;

/// The layer that writes to the journal.
pub(crate) struct Journal(Sender);

impl Journal {
    /// `None` if this output leads elsewhere, or there is no journal.
    pub(crate) fn of(output: impl AsFd) -> Option<Self> {
        let announced = std::env::var("JOURNAL_STREAM").ok()?;
        let stat = fstat(output).ok()?;
        // A shell may have inherited the variable and redirected the output.
        if !names(&announced, stat.st_dev, stat.st_ino) {
            return None;
        }
        let layer = tracing_journald::Layer::new().ok()?;
        let layer = layer
            .with_field_prefix(None)
            .with_syslog_identifier("lvsd".to_owned());
        let subscriber = tracing_subscriber::registry().with(layer);
        Some(Self(Arc::new(subscriber)))
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let journal = Arc::clone(&self.0);
        let copy = EventCopy::of(event);
        queue::run(move || copy.play_to(&*journal));
    }
}

/// An event with the text of each of its fields, in the order of the fields of its place in the code.
struct EventCopy {
    metadata: &'static Metadata<'static>,
    values: Vec<Option<String>>,
}

impl EventCopy {
    fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut copy = Self {
            metadata,
            values: vec![None; metadata.fields().len()],
        };
        event.record(&mut copy);
        copy
    }

    fn play_to(&self, journal: &dyn Subscriber) {
        let texts = self.values.iter().map(Option::as_deref);
        let texts: Vec<Option<&str>> = texts.collect();
        let values: Vec<Option<&dyn Value>> = texts
            .iter()
            .map(|text| text.as_ref().map(|text| text as &dyn Value))
            .collect();
        // As the macros of `tracing` make an event.
        let values = self.metadata.fields().value_set_all(&values);
        journal.event(&Event::new(self.metadata, &values));
    }
}

impl Visit for EventCopy {
    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(place) = self.values.get_mut(field.index()) {
            *place = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// True if the value of JOURNAL_STREAM is this device and inode.
fn names(announced: &str, device: u64, inode: u64) -> bool {
    let numbers = announced.split_once(':');
    let numbers =
        numbers.and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    numbers == Some((device, inode))
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn only_the_announced_stream_is_the_journals() {
        assert!(names("9:12345", 9, 12345));
        assert!(!names("9:12345", 9, 12346));
        assert!(!names("9", 9, 12345));
        assert!(!names("", 0, 0));
        assert!(!names("x:y", 0, 0));
    }

    /// Line and fields of an event.
    type Seen = (u32, Vec<String>);

    /// Keeps what it is given.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Seen>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            let copy = EventCopy::of(event);
            let names = copy.metadata.fields().iter().zip(&copy.values);
            let fields = names.filter_map(|(field, value)| {
                value.as_ref().map(|value| format!("{field}={value}"))
            });
            let line = event.metadata().line().unwrap_or_default();
            self.0.lock().push((line, fields.collect()));
        }
    }

    #[test]
    fn the_journal_gets_events_with_their_fields_and_their_place_in_the_code() {
        let kept = Kept::default();
        let journal = Arc::new(tracing_subscriber::registry().with(kept.clone()));
        let subscriber = tracing_subscriber::registry().with(Journal(journal));
        let line = line!() + 2;
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(
                lvs_event = "up",
                none = None::<&str>,
                count = 3,
                "odd {}",
                1
            );
        });
        let fields = ["message=odd 1", "lvs_event=up", "count=3"].map(str::to_owned);
        assert_eq!(*kept.0.lock(), [(line, fields.to_vec())]);
    }
}
