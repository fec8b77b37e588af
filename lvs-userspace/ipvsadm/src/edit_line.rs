//! Changes as lines of a log: by the options of the command that makes them, where it has some.

use lvs_api::filter::{Filter, Source};
use lvs_api::health::{AdminState, Override, ServerByHand, Weight};
use lvs_api::model::{ServerSettings, ServiceId};
use lvs_api::protocol::Edit;
use lvs_api::timeouts::Timeouts;

use super::names::Names;
use super::{mark_options, save};

/// One line, addresses and ports as numbers. Options of `ipvsadm` where it has some; of a filter the sizes of its lists.
pub fn edit_line(edit: &Edit) -> String {
    let mut names = Names::new(true);
    let names = &mut names;
    match edit {
        Edit::AddService { service, settings } => {
            format!("-A {}", save::service(service, settings, names))
        }
        Edit::EditService { service, settings } => {
            format!("-E {}", save::service(service, settings, names))
        }
        Edit::DeleteService { service } => format!("-D {}", save::service_option(service, names)),
        Edit::Flush => "-C".to_owned(),
        Edit::AddServer {
            service,
            server,
            settings,
        } => format!(
            "-a {}{}",
            save::server(service, *server, settings, names),
            thresholds(settings)
        ),
        Edit::EditServer {
            service,
            server,
            settings,
        } => format!(
            "-e {}{}",
            save::server(service, *server, settings, names),
            thresholds(settings)
        ),
        Edit::DeleteServer { service, server } => {
            format!(
                "-d {} -r {}",
                save::service_option(service, names),
                server.0
            )
        }
        Edit::Zero { service: None } => "-Z".to_owned(),
        Edit::Zero {
            service: Some(service),
        } => format!("-Z {}", save::service_option(service, names)),
        Edit::SetTimeouts(Timeouts { tcp, tcp_fin, udp }) => {
            format!("--set {tcp} {tcp_fin} {udp}")
        }
        Edit::SetSysctl { name, value } => format!("--sysctl {name}={value}"),
        Edit::SetFilter { service, filter } => self::filter(service, filter, names),
        Edit::Mark(rule) => mark_options::Options(rule).to_string(),
    }
}

/// An operator's override for a real server.
pub fn override_line(change: &Override) -> String {
    let (Override::State {
        service,
        server,
        volatile,
        ..
    }
    | Override::Weight {
        service,
        server,
        volatile,
        ..
    }) = change;
    let what = match change {
        Override::State { state, .. } => match state {
            AdminState::Ready => "ready".to_owned(),
            AdminState::Drain => "drain".to_owned(),
            AdminState::Maint => "maint".to_owned(),
        },
        Override::Weight { weight, .. } => match weight {
            Weight::Configured => "weight as configured".to_owned(),
            Weight::Absolute(weight) => format!("weight {weight}"),
            Weight::Percent(percent) => format!("weight {percent} %"),
        },
    };
    let place = service.map_or_else(
        || "all services".to_owned(),
        |service| save::service_option(&service, &mut Names::new(true)),
    );
    let kept = if *volatile { ", until lvsd ends" } else { "" };
    format!("server {server} of {place}: {what}{kept}")
}

/// A real server that is added to a service beside those of the file, or removed again.
pub fn server_by_hand_line(change: &ServerByHand) -> String {
    let mut names = Names::new(true);
    match change {
        ServerByHand::Check {
            service,
            server,
            settings,
        } => {
            let server = save::server(service, *server, settings, &mut names);
            format!("checked server {server}{}", thresholds(settings))
        }
        ServerByHand::Remove { service, server } => {
            let service = save::service_option(service, &mut names);
            format!("server {} of {service}: checked no more", server.0)
        }
    }
}

fn thresholds(settings: &ServerSettings) -> String {
    match (settings.upper, settings.lower) {
        (0, 0) => String::new(),
        (upper, lower) => format!(" -x {upper} -y {lower}"),
    }
}

fn filter(service: &ServiceId, filter: &Filter, names: &mut Names) -> String {
    let service = save::service_option(service, names);
    if filter.is_empty() {
        return format!("filter of {service}: none");
    }
    let networks = |sources: &[Source]| -> usize {
        sources.iter().map(|source| source.prefixes().len()).sum()
    };
    let allowed = filter.allow.as_deref().map_or_else(
        || "everybody".to_owned(),
        |sources| format!("{} networks", networks(sources)),
    );
    let denied = networks(&filter.deny);
    let limits = if filter.limits.is_none() {
        ""
    } else {
        ", limits"
    };
    format!("filter of {service}: {allowed} allowed, {denied} networks denied{limits}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::parse_line;

    #[test]
    fn the_options_make_the_change_again() {
        for line in [
            "-A -t 192.0.2.10:443 -s sh -p 360 -M 255.255.255.0 -b sh-fallback,sh-port",
            "-E -f 7 -6 -s rr",
            "-D -u [2001:db8::1]:53",
            "-a -t 192.0.2.10:443 -r 10.0.0.1:8080 -m -w 100 -x 5 -y 3",
            "-e -t 192.0.2.10:443 -r 10.0.0.3:443 -i -w 0 --tun-type gue --tun-port 6080 --tun-csum",
            "-d --sctp-service 192.0.2.10:9 -r [2001:db8:2::1]:9",
            "-C",
            "-Z",
            "-Z -t 192.0.2.10:443",
            "--set 900 120 300",
            "--mark 7 -t 192.0.2.10:443 --source 198.51.100.0/24",
        ] {
            let edit = parse_line(line).expect("a command").expect("a change");
            assert_eq!(edit_line(&edit), line);
        }
    }

    #[test]
    fn overrides_are_sentences() {
        let server = "10.0.0.1:80".parse().expect("an address");
        let drain = Override::State {
            service: None,
            server,
            state: AdminState::Drain,
            volatile: true,
        };
        let text = "server 10.0.0.1:80 of all services: drain, until lvsd ends";
        assert_eq!(override_line(&drain), text);
        let weight = Override::Weight {
            service: None,
            server,
            weight: Weight::Percent(50),
            volatile: false,
        };
        let text = "server 10.0.0.1:80 of all services: weight 50 %";
        assert_eq!(override_line(&weight), text);
    }

    #[test]
    fn a_filter_is_logged_with_the_sizes_of_its_lists() {
        let id = match parse_line("-D -t 192.0.2.10:443") {
            Ok(Some(Edit::DeleteService { service })) => service,
            other => panic!("{other:?}"),
        };
        let mut filter = Filter::default();
        let line = |filter: &Filter| {
            edit_line(&Edit::SetFilter {
                service: id,
                filter: filter.clone(),
            })
        };
        assert_eq!(line(&filter), "filter of -t 192.0.2.10:443: none");
        let network = "198.51.100.0/24".parse().expect("a network");
        filter.deny = vec![Source::Prefix(network); 2];
        assert_eq!(
            line(&filter),
            "filter of -t 192.0.2.10:443: everybody allowed, 2 networks denied"
        );
    }
}
