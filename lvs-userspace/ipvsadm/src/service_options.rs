//! The virtual service of a command line, and its settings by `-A` and `-E`.

use std::net::SocketAddr;

use lvs_api::model::{Family, OnDown, Persistence, Protocol, ServiceId, ServiceSettings};
use lvs_api::timeouts::Timeouts;

use super::address::{address, prefix_length, read_netmask};
use super::error::UsageError;
use super::number::{number, timeout};
use super::option::OptionName;
use super::ports::ServiceNames;
use super::scheduler_flags;

/// Seconds of `-p` without a value.
const DEFAULT_PERSISTENCE: u32 = 360;
/// Seconds: the longest that IPVS takes, 31 days.
const LONGEST_TIMEOUT: u32 = 2_678_400;
const DEFAULT_SCHEDULER: &str = "wlc";
/// Letters of a name in the kernel; more are cut off.
const MAX_NAME: usize = 15;

/// A mask of persistence, of the family it was read for.
#[derive(Clone, Copy)]
enum Netmask {
    Ipv4(u32),
    /// Prefix length.
    Ipv6(u8),
}

/// Options of a virtual service.
#[derive(Default)]
pub(super) struct ServiceOptions {
    pub(super) id: Option<ServiceId>,
    scheduler: String,
    scheduler_flags: String,
    engine: Option<String>,
    persistence: Option<u32>,
    netmask: Option<Netmask>,
    one_packet: bool,
    redispatch: Option<bool>,
    on_down: Option<OnDown>,
    timeouts: Option<Timeouts>,
}

impl ServiceOptions {
    pub(super) fn set_address(&mut self, protocol: Protocol, text: &str) -> Result<(), UsageError> {
        let (ip, port) =
            address(text, protocol, ServiceNames::system()).ok_or(UsageError::ServiceAddress)?;
        let address = SocketAddr::new(ip, port.unwrap_or(0));
        self.id = Some(ServiceId::Address { protocol, address });
        Ok(())
    }

    pub(super) fn set_mark(&mut self, text: &str) -> Result<(), UsageError> {
        let mark = mark(text, 1)?;
        let family = Family::Ipv4;
        self.id = Some(ServiceId::Mark { mark, family });
        Ok(())
    }

    /// `-6`: the mark is one of IPv6 packets.
    pub(super) fn set_ipv6(&mut self) -> Result<(), UsageError> {
        match &mut self.id {
            Some(ServiceId::Mark { family, .. }) => {
                *family = Family::Ipv6;
                Ok(())
            }
            _ => Err(UsageError::Ipv6BeforeMark),
        }
    }

    /// Parses another option; false: it is none of services.
    pub(super) fn set(
        &mut self,
        option: OptionName,
        value: Option<&str>,
    ) -> Result<bool, UsageError> {
        let text = value.unwrap_or_default();
        match option {
            OptionName::Scheduler => self.scheduler = cut(text),
            OptionName::SchedulerFlags => text.clone_into(&mut self.scheduler_flags),
            OptionName::Engine => self.engine = Some(cut(text)),
            OptionName::OnePacket => self.one_packet = true,
            OptionName::Persistent => {
                let seconds = value.map_or(Ok(DEFAULT_PERSISTENCE), |value| timeout(value, 1));
                self.persistence = Some(seconds?);
            }
            OptionName::Redispatch => {
                self.redispatch = Some(match text {
                    "yes" => true,
                    "no" => false,
                    _ => return Err(UsageError::Redispatch(text.to_owned())),
                });
            }
            OptionName::OnDown => {
                let on_down = OnDown::from_name(text);
                let wrong = || UsageError::OnDown(text.to_owned());
                self.on_down = Some(on_down.ok_or_else(wrong)?);
            }
            OptionName::IdleTimeout => {
                let timeouts = idle_timeouts(text);
                let wrong = || UsageError::IdleTimeout(text.to_owned());
                self.timeouts = Some(timeouts.ok_or_else(wrong)?);
            }
            OptionName::Netmask => self.netmask = Some(self.read_netmask(text)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Parses a mask of the service's family: the mask has to come after the service.
    fn read_netmask(&self, text: &str) -> Result<Netmask, UsageError> {
        match self.id.map_or(Family::Ipv4, |id| id.family()) {
            Family::Ipv4 => read_netmask(text)
                .map(Netmask::Ipv4)
                .ok_or(UsageError::Netmask),
            Family::Ipv6 => number(text, 1..=128)
                .and_then(|prefix| prefix.try_into().ok())
                .map(Netmask::Ipv6)
                .ok_or(UsageError::Ipv6Netmask),
        }
    }

    /// The prefix length by which clients of a family are grouped. A mask of the other family groups none.
    fn prefix(&self, family: Family) -> Result<u8, UsageError> {
        match (family, self.netmask) {
            (Family::Ipv4, Some(Netmask::Ipv4(mask))) => {
                prefix_length(mask).ok_or(UsageError::Netmask)
            }
            (Family::Ipv4, _) => Ok(32),
            (Family::Ipv6, Some(Netmask::Ipv6(prefix))) => Ok(prefix),
            (Family::Ipv6, _) => Ok(128),
        }
    }

    fn scheduler(&self) -> &str {
        if self.scheduler.is_empty() {
            DEFAULT_SCHEDULER
        } else {
            &self.scheduler
        }
    }

    /// Parses the flags, which depend on the scheduler.
    pub(super) fn scheduler_flags(&self) -> Result<u8, UsageError> {
        scheduler_flags::from_text(&self.scheduler_flags, self.scheduler())
    }

    /// Settings of a service: options that are not given have their defaults.
    pub(super) fn settings(&self, id: ServiceId) -> Result<ServiceSettings, UsageError> {
        if let ServiceId::Address { protocol, address } = id {
            if address.port() == 0 && self.persistence.is_none() {
                return Err(UsageError::ZeroPort);
            }
            if self.one_packet && protocol != Protocol::Udp {
                return Err(UsageError::OnePacket);
            }
        }
        let persistence = |timeout| -> Result<_, UsageError> {
            let prefix = self.prefix(id.family())?;
            Ok(Persistence { timeout, prefix })
        };
        Ok(ServiceSettings {
            scheduler: self.scheduler().to_owned(),
            scheduler_flags: self.scheduler_flags()?,
            persistence: self.persistence.map(persistence).transpose()?,
            one_packet: self.one_packet,
            redispatch: self.redispatch,
            on_down: self.on_down,
            timeouts: self.timeouts,
            filter: None,
            engine: self.engine.clone(),
        })
    }
}

/// `TCP,TCPFIN,UDP` in seconds.
fn idle_timeouts(text: &str) -> Option<Timeouts> {
    let mut seconds = text
        .split(',')
        .map(|part| number(part, 0..=LONGEST_TIMEOUT));
    let mut next = || seconds.next().flatten();
    let (tcp, tcp_fin, udp) = (next()?, next()?, next()?);
    seconds
        .next()
        .is_none()
        .then_some(Timeouts { tcp, tcp_fin, udp })
}

/// A firewall mark.
pub(super) fn mark(text: &str, least: u32) -> Result<u32, UsageError> {
    number(text, least..=u32::MAX).ok_or_else(|| UsageError::Mark(text.to_owned()))
}

fn cut(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}
