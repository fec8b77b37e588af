//! `filter`: who may begin connections with a virtual service, and how many.

use std::io::{self, Write};
use std::net::ToSocketAddrs as _;
use std::path::Path;

use lvs_api::client::Client;
use lvs_api::filter::{Filter, FilterStatus, Limits, PrefixFile, Source};
use lvs_api::model::ServiceId;
use lvs_api::protocol::{Edit, Services};
use serde::Serialize;

use super::arguments::{self, SetFilter};
use super::failure::Failure;
use super::target::VirtualName;

/// A virtual service that has a filter.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Filtered {
    pub(super) id: ServiceId,
    pub(super) filter: Filter,
    pub(super) status: FilterStatus,
}

/// The services that have a filter.
pub(super) fn filters(services: Services) -> Vec<Filtered> {
    let services = services.services.into_iter();
    services
        .filter_map(|service| {
            Some(Filtered {
                id: service.id,
                filter: service.settings.filter?,
                status: service.filter?,
            })
        })
        .collect()
}

/// Executes the verb.
pub(super) async fn run(
    client: &mut Client,
    arguments: arguments::Filter,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match arguments {
        arguments::Filter::Show { service, json } => {
            let ids = find(client, &service).await?;
            let mut shown = filters(client.services().await?);
            shown.retain(|one| ids.contains(&one.id));
            if json {
                serde_json::to_writer_pretty(&mut *out, &shown).map_err(io::Error::from)?;
                writeln!(out)?;
            } else if shown.is_empty() {
                writeln!(out, "no filter")?;
            } else {
                for one in &shown {
                    writeln!(out, "{}", one.id)?;
                    print(out, one)?;
                }
            }
        }
        arguments::Filter::Set(arguments) => {
            let filter = wanted(&arguments)?;
            for service in find(client, &arguments.service).await? {
                let filter = filter.clone();
                client.edit(&Edit::SetFilter { service, filter }).await?;
            }
        }
        arguments::Filter::Clear { service } => {
            for service in find(client, &service).await? {
                let filter = Filter::default();
                client.edit(&Edit::SetFilter { service, filter }).await?;
            }
        }
        arguments::Filter::Reload => client.reload_filters().await?,
    }
    Ok(())
}

/// Prints a filter, indented.
pub(super) fn print(out: &mut impl Write, one: &Filtered) -> io::Result<()> {
    let Filtered { filter, status, .. } = one;
    if let (Some(sources), Some(count)) = (&filter.allow, status.allow) {
        writeln!(out, "  allow    {count} {}", from(sources))?;
    }
    if !filter.deny.is_empty() {
        writeln!(out, "  deny     {} {}", status.deny, from(&filter.deny))?;
    }
    if filter.allow.is_some() || !filter.deny.is_empty() {
        writeln!(out, "           refused {} packets", status.denied)?;
    }
    let limits = &filter.limits;
    for (limit, what, over) in [
        (
            limits.new_per_second,
            "new connections a second",
            status.over_new_per_second,
        ),
        (limits.open, "open connections", status.over_open),
        (
            limits.packets_per_second,
            "packets a second",
            status.over_packets_per_second,
        ),
    ] {
        if limit > 0 {
            writeln!(
                out,
                "  limit    {limit} {what} for {}: refused {over}",
                client_word(limits, &one.id)
            )?;
        }
    }
    if status.forgotten > 0 {
        let count = status.forgotten;
        writeln!(
            out,
            "           {count} clients with open connections were forgotten: there are too many"
        )?;
    }
    Ok(())
}

fn client_word(limits: &Limits, id: &ServiceId) -> String {
    match (limits.prefix_of(id.family()), id.family()) {
        (32, lvs_api::model::Family::Ipv4) | (128, _) => "each client".to_owned(),
        (prefix, _) => format!("each /{prefix} of clients"),
    }
}

/// The files of a list; what else it has needs no more than its number.
fn from(sources: &[Source]) -> String {
    let files = sources.iter().filter_map(|source| match source {
        Source::File(file) => Some(file.file.display().to_string()),
        Source::Prefix(_) => None,
    });
    let files: Vec<_> = files.collect();
    if files.is_empty() {
        "prefixes".to_owned()
    } else {
        format!("prefixes, from {}", files.join(", "))
    }
}

/// The filter that a command line asks for.
fn wanted(arguments: &SetFilter) -> Result<Filter, Failure> {
    let sources = |words: &[String]| -> Result<Vec<Source>, Failure> {
        words.iter().map(|word| source(word)).collect()
    };
    let allow = sources(&arguments.allow)?;
    let filter = Filter {
        allow: (!allow.is_empty()).then_some(allow),
        deny: sources(&arguments.deny)?,
        limits: Limits {
            new_per_second: arguments.new_per_second,
            open: arguments.open,
            packets_per_second: arguments.packets_per_second,
            prefix: arguments.prefix,
        },
    };
    if filter.is_empty() {
        let message = "the filter would refuse nothing; `lvsadm filter clear` removes one";
        return Err(Failure::Usage(message.to_owned()));
    }
    Ok(filter)
}

/// A prefix, or else a file: the daemon reads it, so that its path is made whole here.
fn source(word: &str) -> Result<Source, Failure> {
    let error = match word.parse() {
        Ok(prefix) => return Ok(Source::Prefix(prefix)),
        Err(error) => error,
    };
    let path = Path::new(word);
    let numeric = word
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || b".:/".contains(&byte));
    if numeric && !path.exists() {
        return Err(Failure::Usage(error.to_string()));
    }
    let file =
        std::path::absolute(path).map_err(|error| Failure::Usage(format!("{word}: {error}")))?;
    Ok(Source::File(PrefixFile::new(file)))
}

/// The services that a name stands for: those in the tables, checked or not.
async fn find(client: &mut Client, name: &VirtualName) -> Result<Vec<ServiceId>, Failure> {
    let named = match name {
        VirtualName::Name(_) => client.health().await?.services,
        _ => Vec::new(),
    };
    let addresses: Vec<_> = match name {
        VirtualName::Address(_, text) => text.to_socket_addrs().map(Iterator::collect),
        _ => Ok(Vec::new()),
    }
    .unwrap_or_default();
    let all: Vec<ServiceId> = client
        .services()
        .await?
        .services
        .iter()
        .map(|service| service.id)
        .collect();
    let meant = |id: &&ServiceId| match (name, **id) {
        (VirtualName::All, _) => true,
        (VirtualName::Mark(wanted), ServiceId::Mark { mark, .. }) => *wanted == mark,
        (VirtualName::Address(wanted, _), ServiceId::Address { protocol, address }) => {
            wanted.is_none_or(|wanted| wanted == protocol) && addresses.contains(&address)
        }
        (VirtualName::Name(name), id) => named
            .iter()
            .any(|service| service.id == id && service.name.as_ref() == Some(name)),
        _ => false,
    };
    let found: Vec<_> = all.iter().filter(meant).copied().collect();
    if found.is_empty() && *name != VirtualName::All {
        let said = match name {
            VirtualName::All => "all".to_owned(),
            VirtualName::Address(_, text) | VirtualName::Name(text) => text.clone(),
            VirtualName::Mark(mark) => format!("fwm {mark}"),
        };
        let there: Vec<_> = all.iter().map(ServiceId::to_string).collect();
        return Err(Failure::unknown("virtual service", &said, &there));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(allow: &[&str], deny: &[&str]) -> SetFilter {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        SetFilter {
            service: VirtualName::All,
            allow: words(allow),
            deny: words(deny),
            new_per_second: 0,
            open: 0,
            packets_per_second: 0,
            prefix: None,
        }
    }

    #[test]
    fn sources_are_prefixes_or_files() {
        let filter = wanted(&arguments(&["192.0.2.0/24"], &["/etc/deny", "2001:db8::1"])).unwrap();
        assert_eq!(filter.allow.unwrap().len(), 1);
        assert!(
            matches!(&filter.deny[0], Source::File(file) if file.file == Path::new("/etc/deny"))
        );
        assert!(matches!(&filter.deny[1], Source::Prefix(_)));
        let relative = wanted(&arguments(&[], &["blocked"])).unwrap();
        assert!(matches!(&relative.deny[0], Source::File(file) if file.file.is_absolute()));
        for wrong in ["192.0.2.7/24", "192.0.2.0/33", "2001:db8::1/64"] {
            assert!(wanted(&arguments(&[], &[wrong])).is_err(), "{wrong}");
        }
        assert!(wanted(&arguments(&[], &[])).is_err());
    }

    #[test]
    fn a_filter_is_shown_with_what_it_refused() {
        let mut file = PrefixFile::new("/etc/lvs/deny".into());
        file.prefixes = vec!["192.0.2.0/24".parse().unwrap(); 3].into();
        let one = Filtered {
            id: ServiceId::Address {
                protocol: lvs_api::model::Protocol::Tcp,
                address: "192.0.2.10:80".parse().unwrap(),
            },
            filter: Filter {
                allow: Some(vec![Source::Prefix("0.0.0.0/0".parse().unwrap())]),
                deny: vec![Source::File(file)],
                limits: Limits {
                    open: 5,
                    prefix: Some(24),
                    ..Limits::default()
                },
            },
            status: FilterStatus {
                allow: Some(1),
                deny: 3,
                denied: 7,
                over_open: 2,
                ..FilterStatus::default()
            },
        };
        let mut shown = Vec::new();
        print(&mut shown, &one).unwrap();
        assert_eq!(
            String::from_utf8(shown).unwrap(),
            "  allow    1 prefixes\n  deny     3 prefixes, from /etc/lvs/deny\n           refused 7 packets\n  \
             limit    5 open connections for each /24 of clients: refused 2\n"
        );
    }
}
