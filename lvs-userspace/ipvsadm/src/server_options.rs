//! The real server of `-a`, `-e` and `-d`.

use std::net::{IpAddr, SocketAddr};

use lvs_api::model::{Checksum, Method, Protocol, ServerId, ServerSettings, ServiceId, Tunnel};
use lvs_api::snat::Snat;

use super::address::address;
use super::error::UsageError;
use super::number::number;
use super::option::OptionName;
use super::ports::{ServiceNames, port_protocol};

const MAX_COUNT: u32 = i32::MAX as u32;

/// Options of a real server.
#[derive(Default)]
pub(super) struct ServerOptions {
    address: Option<(IpAddr, Option<u16>)>,
    pub(super) method: Method,
    weight: Option<u32>,
    upper: u32,
    lower: u32,
    tunnel: TunnelOptions,
    snat: Option<Snat>,
}

impl ServerOptions {
    /// Parses the address; its port may be a name of the service's protocol.
    pub(super) fn set_address(
        &mut self,
        text: &str,
        service: Option<ServiceId>,
    ) -> Result<(), UsageError> {
        let protocol = service.as_ref().map_or(Protocol::Tcp, port_protocol);
        let address = address(text, protocol, ServiceNames::system());
        self.address = Some(address.ok_or(UsageError::ServerAddress)?);
        Ok(())
    }

    /// Parses another option; false: it is none of real servers.
    pub(super) fn set(&mut self, option: OptionName, value: &str) -> Result<bool, UsageError> {
        let tunnel = &mut self.tunnel;
        match option {
            OptionName::Weight => {
                self.weight = Some(number(value, 0..=MAX_COUNT).ok_or(UsageError::Weight)?);
            }
            OptionName::UpperThreshold => {
                self.upper = number(value, 0..=MAX_COUNT).ok_or(UsageError::UpperThreshold)?;
            }
            OptionName::LowerThreshold => {
                self.lower = number(value, 0..=MAX_COUNT).ok_or(UsageError::LowerThreshold)?;
            }
            OptionName::Snat => {
                let snat = value.parse::<Snat>();
                self.snat = Some(snat.map_err(|why| UsageError::Snat(why.to_string()))?);
            }
            OptionName::TunnelType => tunnel.kind = Some(Kind::from_text(value)?),
            OptionName::TunnelPort => {
                let port = number(value, 1..=u32::from(u16::MAX));
                tunnel.port = Some(
                    port.and_then(|port| port.try_into().ok())
                        .ok_or(UsageError::TunnelPort)?,
                );
            }
            OptionName::TunnelNoChecksum => tunnel.no_checksum = true,
            OptionName::TunnelChecksum => tunnel.checksum = true,
            OptionName::TunnelRemoteChecksum => tunnel.remote_checksum = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Identity of the server: without a port of its own it has the service's.
    pub(super) fn id(&self, service: ServiceId) -> Result<ServerId, UsageError> {
        // The rules of the commands require it.
        let (address, port) = self.address.ok_or(UsageError::ServerAddress)?;
        Ok(ServerId(SocketAddr::new(
            address,
            port.unwrap_or(service_port(service)),
        )))
    }

    /// Identity and settings of the server. Only NAT rewrites ports: otherwise it has the service's port.
    pub(super) fn settings(
        &self,
        service: ServiceId,
    ) -> Result<(ServerId, ServerSettings), UsageError> {
        let mut id = self.id(service)?;
        if self.method != Method::Nat && matches!(service, ServiceId::Address { .. }) {
            id.0.set_port(service_port(service));
        }
        let same_family = id.0.is_ipv4() == (service.family() == lvs_api::model::Family::Ipv4);
        if !same_family && self.method != Method::Tunnel {
            return Err(UsageError::Family);
        }
        let tunnel = self.tunnel.encapsulation(self.method)?;
        if self.snat.is_some() && self.method != Method::Nat {
            return Err(UsageError::SnatMethod);
        }
        let settings = ServerSettings {
            method: self.method,
            weight: self.weight.unwrap_or(1),
            upper: self.upper,
            lower: self.lower,
            tunnel,
            snat: self.snat,
        };
        Ok((id, settings))
    }
}

fn service_port(service: ServiceId) -> u16 {
    match service {
        ServiceId::Address { address, .. } => address.port(),
        ServiceId::Mark { .. } => 0,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ipip,
    Gue,
    Gre,
}

impl Kind {
    fn from_text(text: &str) -> Result<Self, UsageError> {
        match text {
            "ipip" => Ok(Self::Ipip),
            "gue" => Ok(Self::Gue),
            "gre" => Ok(Self::Gre),
            _ => Err(UsageError::TunnelType),
        }
    }
}

#[derive(Default)]
struct TunnelOptions {
    kind: Option<Kind>,
    port: Option<u16>,
    no_checksum: bool,
    checksum: bool,
    remote_checksum: bool,
}

impl TunnelOptions {
    fn encapsulation(&self, method: Method) -> Result<Tunnel, UsageError> {
        let any_checksum = self.no_checksum || self.checksum || self.remote_checksum;
        let given = self.kind.is_some() || self.port.is_some() || any_checksum;
        if given && method != Method::Tunnel {
            return Err(UsageError::TunnelMethod);
        }
        match self.kind.unwrap_or(Kind::Ipip) {
            Kind::Ipip => {
                let illegal = |option| UsageError::TunnelIllegal {
                    option,
                    tunnel: "ipip",
                };
                if self.port.is_some() {
                    return Err(illegal("tun-port"));
                }
                if self.no_checksum {
                    return Err(illegal("tun-nocsum"));
                }
                if self.checksum {
                    return Err(illegal("tun-csum"));
                }
                if self.remote_checksum {
                    return Err(illegal("tun-remcsum"));
                }
                Ok(Tunnel::Ipip)
            }
            Kind::Gue => {
                let port = self.port.ok_or(UsageError::TunnelPortMissing)?;
                Ok(Tunnel::Gue {
                    port,
                    checksum: self.one_checksum("gue")?,
                })
            }
            Kind::Gre => {
                let illegal = |option| UsageError::TunnelIllegal {
                    option,
                    tunnel: "gre",
                };
                if self.port.is_some() {
                    return Err(illegal("tun-port"));
                }
                if self.remote_checksum {
                    return Err(illegal("tun-remcsum"));
                }
                Ok(Tunnel::Gre {
                    checksum: self.one_checksum("gre")?,
                })
            }
        }
    }

    fn one_checksum(&self, tunnel: &'static str) -> Result<Checksum, UsageError> {
        let conflict = |option, other| {
            Err(UsageError::TunnelConflict {
                option,
                other,
                tunnel,
            })
        };
        match (self.no_checksum, self.checksum, self.remote_checksum) {
            (true, true, _) => conflict("tun-csum", "tun-nocsum"),
            (true, _, true) => conflict("tun-remcsum", "tun-nocsum"),
            (_, true, true) => conflict("tun-remcsum", "tun-csum"),
            (_, true, _) => Ok(Checksum::Full),
            (_, _, true) => Ok(Checksum::Remote),
            _ => Ok(Checksum::None),
        }
    }
}
