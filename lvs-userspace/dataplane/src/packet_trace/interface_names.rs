//! Names of interfaces by index, which packets are told with.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::interface_name::interface_name;

/// Time that a name is good for: interfaces are renamed, and their indexes are used again.
const LIFE: Duration = Duration::from_secs(1);

/// Names that were looked up lately. The kernel is asked for a name once a second, not for each packet.
#[derive(Debug, Default)]
pub struct InterfaceNames {
    known: HashMap<u32, (String, Instant)>,
}

impl InterfaceNames {
    pub(super) fn name(&mut self, index: u32) -> String {
        self.name_at(index, Instant::now(), look_up)
    }

    fn name_at(&mut self, index: u32, now: Instant, look_up: impl Fn(u32) -> String) -> String {
        let good = |since: Instant| now.saturating_duration_since(since) < LIFE;
        if let Some((name, since)) = self.known.get(&index)
            && good(*since)
        {
            return name.clone();
        }
        self.known.retain(|_, (_, since)| good(*since));
        let name = look_up(index);
        self.known.insert(index, (name.clone(), now));
        name
    }
}

fn look_up(index: u32) -> String {
    interface_name(index).unwrap_or_else(|| format!("interface {index}"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_name_is_good_for_a_second() {
        let mut names = InterfaceNames::default();
        assert_eq!(names.name(0x7fff_fff0), "interface 2147483632");
        let asked = Cell::new(0);
        let look_up = |index| {
            asked.set(asked.get() + 1);
            format!("eth{index}")
        };
        let start = Instant::now();
        let mut name =
            |index, after| names.name_at(index, start + Duration::from_millis(after), look_up);
        assert_eq!(name(1, 0), "eth1");
        assert_eq!(name(2, 900), "eth2");
        assert_eq!(name(1, 999), "eth1");
        assert_eq!(asked.get(), 2);
        assert_eq!(name(1, 1_000), "eth1");
        assert_eq!(name(2, 1_000), "eth2");
        assert_eq!(asked.get(), 3);
    }
}
