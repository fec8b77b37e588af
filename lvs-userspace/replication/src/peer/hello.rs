//! Introductions that both sides exchange in the handshake.

use lvs_api::role::Role;
use lvs_common::family::PerFamily;
use zerocopy::byteorder::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::message::Instance;
use super::refusal::Refusal;

/// Changes with the meaning or layout of anything in [`super::record`], of the states and ticks of
/// `lvs_common` that it carries, and of this.
const VERSION: u16 = 3;

/// A director introduces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Its name.
    pub(super) instance: Instance,
    /// Its role at the moment.
    pub(super) role: Role,
    /// Entries of its tables.
    pub(super) sizes: PerFamily<u32>,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    version: U16,
    role: u8,
    reserved: u8,
    instance: U64,
    sizes: [U32; 2],
}

impl Hello {
    /// Encodes it.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let wire = Wire {
            version: VERSION.into(),
            role: match self.role {
                Role::Master => 1,
                Role::Backup => 2,
            },
            reserved: 0,
            instance: self.instance.0.into(),
            sizes: [self.sizes.v4, self.sizes.v6].map(Into::into),
        };
        wire.as_bytes().to_vec()
    }

    /// Reads it. Of another version nothing but its number is read.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let (version, _) = U16::read_from_prefix(bytes).map_err(|_| Refusal::Version)?;
        let (wire, _) = Wire::read_from_prefix(bytes).map_err(|_| Refusal::Version)?;
        if version.get() != VERSION {
            return Err(Refusal::Version);
        }
        let role = match wire.role {
            1 => Role::Master,
            2 => Role::Backup,
            _ => return Err(Refusal::Version),
        };
        let [v4, v6] = wire.sizes.map(U32::get);
        Ok(Self {
            instance: Instance(wire.instance.get()),
            role,
            sizes: PerFamily { v4, v6 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_refused() {
        let hello = Hello {
            instance: Instance(7),
            role: Role::Backup,
            sizes: PerFamily { v4: 8, v6: 16 },
        };
        let mut bytes = hello.to_bytes();
        assert_eq!(Hello::read(&bytes), Ok(hello));
        bytes.push(0);
        assert_eq!(Hello::read(&bytes), Ok(hello));
        bytes[2] = 3;
        assert_eq!(Hello::read(&bytes), Err(Refusal::Version));
        bytes[2] = 1;
        bytes[1] += 1;
        assert_eq!(Hello::read(&bytes), Err(Refusal::Version));
        assert_eq!(Hello::read(&[0]), Err(Refusal::Version));
    }
}
