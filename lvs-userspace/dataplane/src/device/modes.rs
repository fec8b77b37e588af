//! The operator's words about the ways of interfaces' packets.

use std::collections::BTreeMap;
use std::str::FromStr;

/// The way of an interface's packets into the director.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The best that the interface can do.
    #[default]
    Auto,
    /// In the driver.
    Xdp,
    /// Behind the driver, on socket buffers.
    Tc,
}

/// A mode, for one interface or for all that have none of their own: `eth0=tc`, `xdp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeOption {
    /// `None`: for all others.
    pub interface: Option<String>,
    /// The mode.
    pub mode: Mode,
}

impl FromStr for ModeOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (interface, mode) = match text.rsplit_once('=') {
            Some(("", _)) => return Err("the interface has no name".to_owned()),
            Some((interface, mode)) => (Some(interface.to_owned()), mode),
            None => (None, text),
        };
        let mode = match mode {
            "auto" => Mode::Auto,
            "xdp" => Mode::Xdp,
            "tc" => Mode::Tc,
            _ => return Err("a mode is auto, xdp or tc; for one interface IF=MODE".to_owned()),
        };
        Ok(Self { interface, mode })
    }
}

/// The modes of all interfaces.
#[derive(Clone, Debug, Default)]
pub struct Modes {
    others: Mode,
    by_name: BTreeMap<String, Mode>,
}

impl Modes {
    /// The mode of an interface.
    pub fn of(&self, interface: &str) -> Mode {
        self.by_name.get(interface).copied().unwrap_or(self.others)
    }

    /// Interfaces with a mode of their own.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// Of two options for the same, the later counts.
impl FromIterator<ModeOption> for Modes {
    fn from_iter<I: IntoIterator<Item = ModeOption>>(options: I) -> Self {
        let mut modes = Self::default();
        for ModeOption { interface, mode } in options {
            match interface {
                Some(interface) => drop(modes.by_name.insert(interface, mode)),
                None => modes.others = mode,
            }
        }
        modes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interfaces_own_mode_comes_before_that_of_all() {
        let options = ["xdp", "br0=tc", "eth0.7=auto"];
        let modes: Modes = options.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(modes.of("eth1"), Mode::Xdp);
        assert_eq!(modes.of("br0"), Mode::Tc);
        assert_eq!(modes.of("eth0.7"), Mode::Auto);
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["generic", "eth0=", "=tc", "eth0"] {
            assert!(text.parse::<ModeOption>().is_err(), "{text}");
        }
    }
}
