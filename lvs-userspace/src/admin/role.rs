//! `role`.

use std::io::{self, Write};

use crate::control::role::RoleStatus;

/// Prints the role, one word, and on the error output what is wrong with its addresses.
pub(super) fn print(status: &RoleStatus, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", status.role)?;
    for address in &status.addresses {
        let name = &address.address;
        if let Some(mac) = &address.duplicate {
            writeln!(
                io::stderr(),
                "{name}: duplicate address, {mac} holds it, too"
            )?;
        }
        if let Some(problem) = &address.problem {
            writeln!(io::stderr(), "{name}: {problem}")?;
        }
    }
    Ok(())
}
