//! systemd's journal: events with their fields, where the output that the log would go to is the journal's.

use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing_journald::Layer;

/// The layer that writes to the journal; none if this output leads elsewhere, or there is no journal.
pub(crate) fn layer(output: impl AsFd) -> Option<Layer> {
    let announced = std::env::var("JOURNAL_STREAM").ok()?;
    let stat = fstat(output).ok()?;
    // A shell may have inherited the variable and redirected the output.
    if !names(&announced, stat.st_dev, stat.st_ino) {
        return None;
    }
    let layer = Layer::new().ok()?;
    Some(
        layer
            .with_field_prefix(None)
            .with_syslog_identifier("lvsd".to_owned()),
    )
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
    use super::*;

    #[test]
    fn only_the_announced_stream_is_the_journals() {
        assert!(names("9:12345", 9, 12345));
        assert!(!names("9:12345", 9, 12346));
        assert!(!names("9", 9, 12345));
        assert!(!names("", 0, 0));
        assert!(!names("x:y", 0, 0));
    }
}
