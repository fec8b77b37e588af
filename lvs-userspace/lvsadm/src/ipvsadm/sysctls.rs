//! `--sysctl`: the settings of `net.ipv4.vs` as `sysctl` prints them.

use std::io::{self, Write};

use lvs_api::sysctl::{Name, SysctlValue};

/// Prints all settings, each that cannot be set with the reason, or one.
pub(super) fn print(
    out: &mut impl Write,
    values: &[SysctlValue],
    only: Option<Name>,
) -> io::Result<()> {
    let name = only.map(|name| name.sysctl().name);
    for SysctlValue { name, value, fixed } in values
        .iter()
        .filter(|value| name.is_none_or(|name| name == value.name))
    {
        match fixed {
            None => writeln!(out, "net.ipv4.vs.{name} = {value}")?,
            Some(why) if value.is_empty() => {
                writeln!(out, "# net.ipv4.vs.{name} cannot be set: {why}")?;
            }
            Some(why) => writeln!(out, "net.ipv4.vs.{name} = {value}  # cannot be set: {why}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_printed_as_sysctl_prints_them_with_the_reason_if_they_are_fixed() {
        let names = [Name::RunEstimation, Name::Conntrack, Name::SyncQlenMax];
        let values = names.map(|name| name.listed(name.sysctl().default));
        let mut out = Vec::new();
        print(&mut out, &values, None).expect("memory takes it");
        print(&mut out, &values, Some(Name::RunEstimation)).expect("memory takes it");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "\
net.ipv4.vs.run_estimation = 1
net.ipv4.vs.conntrack = 0  # cannot be set: packets are forwarded before netfilter would track them
# net.ipv4.vs.sync_qlen_max cannot be set: messages are sent when they are made, there is no queue
net.ipv4.vs.run_estimation = 1
"
        );
    }
}
