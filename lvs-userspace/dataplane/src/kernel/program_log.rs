//! The log of the programs themselves, as aya-log brings it.

use std::sync::Arc;

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray};
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};
use lvs_common::abi::{PROGRAM_NOTE, ProgramNote};
use lvs_common::diagnosis::{Finding, Level};
use lvs_common::verdict::Reason;
use parking_lot::Mutex;

use super::error::KernelError;
use super::maps::map;
use super::wire::Wire;
use crate::interface_name::interface_name;

/// A line of the programs' log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramLine {
    /// Its level.
    pub level: Level,
    /// Its text.
    pub text: String,
}

/// The log of an object's programs.
pub(super) struct ProgramLog {
    logger: EbpfLogger<Arc<Lines>>,
    lines: Arc<Lines>,
    note: PerCpuArray<MapData, Wire<ProgramNote>>,
    /// Lines that were left out, as was told.
    lost: u64,
}

impl ProgramLog {
    /// The log of an object; none, if it was made without one.
    pub(super) fn of(ebpf: &mut Ebpf, level: u8) -> Result<Option<Self>, KernelError> {
        if level == 0 {
            return Ok(None);
        }
        let lines = Arc::new(Lines::default());
        let note = PerCpuArray::try_from(map(ebpf, PROGRAM_NOTE)?)
            .map_err(KernelError::map("cannot use", PROGRAM_NOTE))?;
        let logger = EbpfLogger::init_with_logger(ebpf, Arc::clone(&lines))
            .map_err(|error| KernelError::Log(Box::new(error)))?;
        Ok(Some(Self {
            logger,
            lines,
            note,
            lost: 0,
        }))
    }

    /// The lines that were logged since the last time, and one about those that were left out.
    pub(super) fn read(&mut self) -> Vec<ProgramLine> {
        self.logger.flush();
        let mut lines = std::mem::take(&mut *self.lines.0.lock());
        let values = self.note.get(&0, 0);
        let lost = values.map_or(0, |values| values.iter().map(|Wire(cpu)| cpu.lost).sum());
        if lost > self.lost {
            lines.push(ProgramLine {
                level: Level::Warn,
                text: format!(
                    "{} further lines of the programs were left out",
                    lost - self.lost
                ),
            });
            self.lost = lost;
        }
        lines
    }
}

/// Collects what the library reads.
#[derive(Default)]
struct Lines(Mutex<Vec<ProgramLine>>);

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0
            .lock()
            .extend(line(&record.args().to_string(), interface_name));
    }

    fn flush(&self) {}
}

/// The line of five numbers: level, reason of the verdict, finding with its number, interface.
fn line(record: &str, name: impl Fn(u32) -> Option<String>) -> Option<ProgramLine> {
    let numbers: Vec<u32> = record
        .split(' ')
        .map(|word| word.parse().ok())
        .collect::<Option<_>>()?;
    let &[level, reason, finding, number, interface] = &numbers[..] else {
        return None;
    };
    let level = [
        Level::Error,
        Level::Warn,
        Level::Info,
        Level::Debug,
        Level::Trace,
    ]
    .into_iter()
    .find(|it| *it as u32 == level)?;
    let reason = u8::try_from(reason).ok().and_then(Reason::from_number)?;
    let verdict = format!("{}: {}", reason.name(), reason.explanation());
    let found = Finding::from_number(finding).map(|it| format!("{} {number}", it.text()));
    // Where there was no verdict the interface is not known either.
    let place = (interface != 0).then(|| {
        let name = name(interface);
        name.unwrap_or_else(|| format!("interface {interface}"))
    });
    let text = match (place, found) {
        (Some(place), Some(found)) => format!("{place}: {found}; {verdict}"),
        (Some(place), None) => format!("{place}: {verdict}"),
        (None, Some(found)) => found,
        (None, None) => verdict,
    };
    Some(ProgramLine { level, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_a_line() {
        let name = |index: u32| (index == 2).then(|| "eth0".to_owned());
        let text = |record| line(record, name).map(|line| (line.level, line.text));
        assert_eq!(
            text("2 25 2 1400 2").unwrap(),
            (
                Level::Warn,
                "eth0: the daemon has no room for a held frame, or is behind: bytes 1400; drop-no-room: the driver left no room \
                 for another header"
                    .to_owned()
            )
        );
        assert_eq!(
            text("3 20 0 0 7").unwrap(),
            (
                Level::Info,
                "interface 7: drop-header-chain: more IPv6 extension headers than the director follows".to_owned()
            )
        );
        let missing = text("1 53 1 1 0").unwrap();
        assert_eq!(missing.0, Level::Error);
        assert!(
            missing.1.ends_with("tail calls are exhausted: index 1"),
            "{missing:?}"
        );
        for wrong in ["", "1 2 3", "9 0 0 0 0", "1 250 0 0 0", "x 1 2 3 4"] {
            assert_eq!(line(wrong, name), None, "{wrong}");
        }
    }
}
