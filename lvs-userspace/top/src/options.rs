//! What an operator asks the screen for.

use std::time::Duration;

/// A page of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tab {
    /// Virtual services, with their real servers below them.
    #[default]
    Services,
    /// Real servers of all virtual services.
    Servers,
    /// Health checks.
    Checks,
    /// Packets by verdict.
    Verdicts,
    /// Connection tables, interfaces, next hops.
    Tables,
    /// Role, virtual addresses, other directors.
    Peers,
}

impl Tab {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::Services,
        Self::Servers,
        Self::Checks,
        Self::Verdicts,
        Self::Tables,
        Self::Peers,
    ];

    /// As it is listed and typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Servers => "servers",
            Self::Checks => "checks",
            Self::Verdicts => "verdicts",
            Self::Tables => "tables",
            Self::Peers => "peers",
        }
    }

    /// Its title on the screen.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Services => "Services",
            Self::Servers => "Servers",
            Self::Checks => "Checks",
            Self::Verdicts => "Verdicts",
            Self::Tables => "Tables",
            Self::Peers => "Peers",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// What the screen begins with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The first page.
    pub tab: Tab,
    /// From one look at lvsd to the next.
    pub interval: Duration,
    /// Rows that contain this, or one of several that are separated by `|`.
    pub filter: String,
    /// Column by whose title rows are sorted; none: as it suits the page.
    pub sort: Option<String>,
    /// Colours are shown.
    pub colour: bool,
}
