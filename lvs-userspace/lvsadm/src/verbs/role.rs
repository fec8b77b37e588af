//! `role`, and the first part of `status`.

use std::io::{self, Write};

use anstyle::AnsiColor;
use lvs_api::role::{AddressStatus, Role, RoleStatus};

use super::colour::{painted, style};

/// Prints the role, one word, and on the error output the problems of its addresses.
pub(super) fn print(status: &RoleStatus, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", status.role)?;
    for address in &status.addresses {
        for problem in problems(address) {
            writeln!(io::stderr(), "{}: {problem}", address.address)?;
        }
    }
    Ok(())
}

/// Prints the role and every virtual address, for people.
pub(super) fn show(out: &mut impl Write, status: &RoleStatus, colour: bool) -> io::Result<()> {
    writeln!(out, "This director is {}", status.role)?;
    let names = status.addresses.iter().map(|it| it.address.to_string());
    let names: Vec<_> = names.collect();
    let wide = names.iter().map(String::len).max().unwrap_or(0);
    for (address, name) in status.addresses.iter().zip(names) {
        let held = if address.held { "held" } else { "not held" };
        let problems = problems(address);
        let text = [&[held.to_owned()], problems.as_slice()]
            .concat()
            .join("; ");
        let shade = match status.role {
            _ if !problems.is_empty() => style(AnsiColor::Red),
            Role::Master if address.held => style(AnsiColor::Green),
            Role::Master => style(AnsiColor::Red),
            Role::Backup => anstyle::Style::new(),
        };
        writeln!(out, "  {name:<wide$} {}", painted(colour, &text, shade))?;
    }
    Ok(())
}

/// Problems of an address.
fn problems(address: &AddressStatus) -> Vec<String> {
    let duplicate = address.duplicate.as_ref();
    let duplicate = duplicate.map(|mac| format!("duplicate address, {mac} holds it, too"));
    duplicate
        .into_iter()
        .chain(address.problem.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use lvs_api::role::{CarrierStatus, ReachStatus};

    use super::*;

    fn shown(status: &RoleStatus, colour: bool) -> String {
        let mut out = Vec::new();
        show(&mut out, status, colour).expect("memory takes it");
        String::from_utf8(out).expect("text")
    }

    fn address(name: &str, held: bool) -> AddressStatus {
        AddressStatus {
            address: name.parse().expect("an address"),
            held,
            problem: None,
            duplicate: None,
        }
    }

    #[test]
    fn a_master_shows_its_addresses_with_their_problems() {
        let status = RoleStatus {
            reach: ReachStatus::default(),
            carrier: CarrierStatus::default(),
            role: Role::Master,
            addresses: vec![
                address("192.0.2.10@eth0", true),
                AddressStatus {
                    duplicate: Some("02:00:00:00:00:01".to_owned()),
                    ..address("2001:db8::10@eth0.5", true)
                },
                AddressStatus {
                    problem: Some("there is no interface".to_owned()),
                    ..address("192.0.2.11@eth1", false)
                },
            ],
        };
        assert_eq!(
            shown(&status, false),
            "\
This director is master
  192.0.2.10/32@eth0      held
  2001:db8::10/128@eth0.5 held; duplicate address, 02:00:00:00:00:01 holds it, too
  192.0.2.11/32@eth1      not held; there is no interface
"
        );
        let painted = shown(&status, true);
        assert_eq!(painted.matches("\x1b[31m").count(), 2, "{painted}");
    }

    #[test]
    fn a_backup_holds_nothing_and_that_is_as_it_should_be() {
        let status = RoleStatus {
            reach: ReachStatus::default(),
            carrier: CarrierStatus::default(),
            role: Role::Backup,
            addresses: vec![address("192.0.2.10@eth0", false)],
        };
        let text = "This director is backup\n  192.0.2.10/32@eth0 not held\n";
        assert_eq!(shown(&status, false), text);
        assert!(!shown(&status, true).contains("\x1b[31m"));
    }
}
