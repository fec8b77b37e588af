//! A health check that speaks the protocol of a service.

use std::any::Any;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;

pub use super::lint::Lint;
pub use super::options::Options;
pub use super::outcome::Failure;
pub use super::probe::{Found, Probe};

/// A kind of health check: the settings of one check, and how a probe is made with them.
pub trait Negotiate: Debug + Eq + Hash + Send + Sync + 'static {
    /// The program that connects to the server in the daemon's place, if one does.
    const PROGRAM: Option<&'static str> = None;
    /// The probe goes to a port.
    const HAS_PORT: bool = true;
    /// `checktimeout` bounds the check, as with ldirectord, and not `negotiatetimeout`.
    const HAS_CHECK_TIMEOUT: bool = false;
    /// A second probe, made while one is under way, is known to do no harm.
    const REPEATABLE: bool = true;

    /// Name in the monitor file.
    fn name(&self) -> &'static str;

    /// Makes one probe, which returns a phrase of what it found (`HTTP 200`).
    fn probe(&self, probe: &Probe<'_>) -> impl Future<Output = Found> + Send;

    /// Reports settings that are unlikely to do what was meant.
    fn lint(&self, _: &mut Lint) {}
}

/// A check of any kind. Two are equal if they are of the same kind with the same settings.
#[derive(Clone, Debug)]
pub struct Checker {
    settings: Arc<dyn AnyKind>,
    /// [`Negotiate::PROGRAM`].
    pub program: Option<&'static str>,
    /// [`Negotiate::HAS_PORT`].
    pub has_port: bool,
    /// [`Negotiate::HAS_CHECK_TIMEOUT`].
    pub has_check_timeout: bool,
    /// [`Negotiate::REPEATABLE`].
    pub repeatable: bool,
}

impl<T: Negotiate> From<T> for Checker {
    fn from(settings: T) -> Self {
        Self {
            settings: Arc::new(settings),
            program: T::PROGRAM,
            has_port: T::HAS_PORT,
            has_check_timeout: T::HAS_CHECK_TIMEOUT,
            repeatable: T::REPEATABLE,
        }
    }
}

impl Checker {
    /// Name in the monitor file.
    pub fn name(&self) -> &'static str {
        self.settings.name()
    }

    /// Makes one probe.
    pub async fn probe(&self, probe: &Probe<'_>) -> Found {
        self.settings.probe(probe).await
    }

    /// Reports settings that are unlikely to do what was meant.
    pub fn lint(&self, lint: &mut Lint) {
        self.settings.lint(lint);
    }

    /// Its settings, if it is of this kind.
    pub fn get<T: Negotiate>(&self) -> Option<&T> {
        let settings: &dyn Any = &*self.settings;
        settings.downcast_ref()
    }
}

impl PartialEq for Checker {
    fn eq(&self, other: &Self) -> bool {
        self.settings.equals(&*other.settings)
    }
}

impl Eq for Checker {}

impl Hash for Checker {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.settings.feed(state);
    }
}

/// A probe under way. Boxed: connections, most of all probes, need not be as large as the largest of
/// the kinds.
type Probing<'a> = Pin<Box<dyn Future<Output = Found> + Send + 'a>>;

/// [`Negotiate`] for settings whose type is not known.
trait AnyKind: Any + Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn probe<'a>(&'a self, probe: &'a Probe<'_>) -> Probing<'a>;
    fn lint(&self, lint: &mut Lint);
    fn equals(&self, other: &dyn Any) -> bool;
    fn feed(&self, state: &mut dyn Hasher);
}

impl<T: Negotiate> AnyKind for T {
    fn name(&self) -> &'static str {
        Negotiate::name(self)
    }

    fn probe<'a>(&'a self, probe: &'a Probe<'_>) -> Probing<'a> {
        Box::pin(Negotiate::probe(self, probe))
    }

    fn lint(&self, lint: &mut Lint) {
        Negotiate::lint(self, lint);
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }

    fn feed(&self, mut state: &mut dyn Hasher) {
        self.hash(&mut state);
    }
}
