//! Introductions that both sides exchange in the handshake.

use lvs_api::role::Role;
use lvs_common::family::PerFamily;
use zerocopy::byteorder::network_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::message::Instance;
use super::refusal::Refusal;
use super::role_in_force::RoleInForce;

/// Versions of the protocol that a director speaks. Both sides of a session speak the newest that both know, so
/// that directors of two versions replicate connections while one after the other is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) oldest: u16,
    pub(super) newest: u16,
}

impl Versions {
    /// Those of this director. The newest changes with the meaning or layout of anything in [`super::record`], of
    /// [`super::Message`], of the states and ticks of `lvs_common` that they carry, and of this.
    ///
    /// | version | has |
    /// |---|---|
    /// | 3 | connections, roles, handovers, states of real servers |
    /// | 4 | [`super::Message::Agreement`]; unknown messages are passed over |
    /// | 5 | [`super::record::FrameRecord::CallId`] |
    /// | 6 | [`super::record::FrameRecord::UpperHalf`] |
    pub(super) const OWN: Self = Self {
        oldest: 3,
        newest: 6,
    };

    /// The version that two directors speak.
    pub(super) fn common(self, other: Self) -> Result<u16, Refusal> {
        let version = self.newest.min(other.newest);
        if version < self.oldest.max(other.oldest) {
            return Err(Refusal::Version);
        }
        Ok(version)
    }
}

/// A director introduces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Its name.
    pub(super) instance: Instance,
    /// Its role at the moment.
    pub(super) role: Role,
    /// It has just started as backup, and becomes master unless it hears of another one.
    pub(super) candidate: bool,
    /// Versions of the protocol that it speaks.
    pub(super) versions: Versions,
    /// Entries of its tables.
    pub(super) sizes: PerFamily<u32>,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    /// The oldest that it speaks: a director that knows of no range reads it as the only one.
    oldest: U16,
    role: u8,
    /// A director of version 3 sends 0, and does not read it.
    candidate: u8,
    instance: U64,
    sizes: [U32; 2],
}

impl Hello {
    /// The role of its director.
    pub(super) const fn in_force(&self) -> RoleInForce {
        RoleInForce {
            role: self.role,
            candidate: self.candidate,
        }
    }

    /// Encodes it.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let wire = Wire {
            oldest: self.versions.oldest.into(),
            role: match self.role {
                Role::Master => 1,
                Role::Backup => 2,
            },
            candidate: self.candidate.into(),
            instance: self.instance.0.into(),
            sizes: [self.sizes.v4, self.sizes.v6].map(Into::into),
        };
        let newest = U16::new(self.versions.newest);
        [wire.as_bytes(), newest.as_bytes()].concat()
    }

    /// Reads it, and returns the version to speak with its director, of those that this one speaks.
    pub(super) fn read(bytes: &[u8], own: Versions) -> Result<(Self, u16), Refusal> {
        let (wire, rest) = Wire::read_from_prefix(bytes).map_err(|_| Refusal::Version)?;
        let oldest = wire.oldest.get();
        // A director of version 3 ends here.
        let newest = U16::read_from_prefix(rest).map_or(oldest, |(newest, _)| newest.get());
        let versions = Versions { oldest, newest };
        let version = own.common(versions)?;
        let role = match wire.role {
            1 => Role::Master,
            2 => Role::Backup,
            _ => return Err(Refusal::Version),
        };
        let [v4, v6] = wire.sizes.map(U32::get);
        let hello = Self {
            instance: Instance(wire.instance.get()),
            role,
            candidate: wire.candidate != 0,
            versions,
            sizes: PerFamily { v4, v6 },
        };
        Ok((hello, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a director of version 3 sends it: a backup of 8 and 16 entries.
    const VERSION_3: [u8; 20] = [0, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 16];

    fn hello(oldest: u16, newest: u16) -> Hello {
        Hello {
            instance: Instance(7),
            role: Role::Backup,
            candidate: false,
            versions: Versions { oldest, newest },
            sizes: PerFamily { v4: 8, v6: 16 },
        }
    }

    fn version(theirs: Hello) -> Result<u16, Refusal> {
        let own = Versions {
            oldest: 3,
            newest: 5,
        };
        let (read, version) = Hello::read(&theirs.to_bytes(), own)?;
        assert_eq!(read, theirs);
        Ok(version)
    }

    #[test]
    fn the_newest_version_that_both_speak_is_spoken() {
        assert_eq!(version(hello(1, 3)), Ok(3));
        assert_eq!(version(hello(4, 4)), Ok(4));
        assert_eq!(version(hello(3, 9)), Ok(5));
        assert_eq!(version(hello(5, 9)), Ok(5));
        assert_eq!(version(hello(6, 9)), Err(Refusal::Version));
        assert_eq!(version(hello(1, 2)), Err(Refusal::Version));
    }

    #[test]
    fn a_director_of_version_3_is_understood_and_understands() {
        let read = Hello::read(&VERSION_3, Versions::OWN);
        assert_eq!(read, Ok((hello(3, 3), 3)));
        // It reads as much as it knows, and wants this number.
        let own = Hello {
            versions: Versions::OWN,
            ..hello(3, 4)
        };
        assert_eq!(own.to_bytes()[..VERSION_3.len()], VERSION_3);
    }

    #[test]
    fn nonsense_is_no_hello() {
        for cut in 0..VERSION_3.len() {
            let read = Hello::read(&VERSION_3[..cut], Versions::OWN);
            assert_eq!(read, Err(Refusal::Version));
        }
        let mut bytes = VERSION_3;
        bytes[2] = 3;
        assert_eq!(Hello::read(&bytes, Versions::OWN), Err(Refusal::Version));
    }
}
