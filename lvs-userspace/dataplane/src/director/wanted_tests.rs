//! Refusals of edits, and their effect on a service.

use lvs_api::model::{Persistence, Protocol};

use super::*;

fn service() -> ServiceId {
    ServiceId::Address {
        protocol: Protocol::Tcp,
        address: "192.0.2.10:80".parse().unwrap(),
    }
}

fn settings(scheduler: &str) -> ServiceSettings {
    ServiceSettings {
        scheduler: scheduler.to_owned(),
        scheduler_flags: 0,
        persistence: None,
        one_packet: false,
        redispatch: Some(false),
        on_down: Some(lvs_api::model::OnDown::Keep),
        timeouts: Some(lvs_api::timeouts::Timeouts::default()),
        engine: None,
        filter: Some(lvs_api::filter::Filter::default()),
    }
}

fn server(address: &str) -> ServerId {
    ServerId(address.parse().unwrap())
}

fn with(method: Method) -> ServerSettings {
    ServerSettings {
        method,
        weight: 1,
        upper: 0,
        lower: 0,
        tunnel: Tunnel::Ipip,
        snat: None,
    }
}

fn add(address: &str, settings: ServerSettings) -> Edit {
    Edit::AddServer {
        service: service(),
        server: server(address),
        settings,
    }
}

/// Applies edits in order to no service.
fn run(edits: &[Edit]) -> Result<Option<Wanted>, Refusal> {
    edits
        .iter()
        .try_fold(None, |current: Option<Wanted>, edit| {
            after(current.as_ref(), edit)
        })
}

fn added() -> Edit {
    Edit::AddService {
        service: service(),
        settings: settings("rr"),
    }
}

fn refusal(edits: &[Edit]) -> RefusalKind {
    run(edits).unwrap_err().kind
}

#[test]
fn the_newest_server_comes_first() {
    let nat = with(Method::Nat);
    let wanted = run(&[
        added(),
        add("10.0.0.1:8080", nat),
        add("10.0.0.2:8080", nat),
    ])
    .unwrap()
    .unwrap();
    let ids: Vec<_> = wanted.servers.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [server("10.0.0.2:8080"), server("10.0.0.1:8080")]);
}

#[test]
fn only_nat_keeps_a_port_of_its_own() {
    let wanted = run(&[added(), add("10.0.0.1:8080", with(Method::Direct))])
        .unwrap()
        .unwrap();
    assert_eq!(wanted.servers[0].0, server("10.0.0.1:80"));
}

#[test]
fn a_direct_server_is_not_deleted_by_another_port() {
    let delete = Edit::DeleteServer {
        service: service(),
        server: server("10.0.0.1:8080"),
    };
    assert_eq!(
        refusal(&[added(), add("10.0.0.1:8080", with(Method::Direct)), delete]),
        RefusalKind::NoSuchServer
    );
}

#[test]
fn services_and_servers_exist_once() {
    assert_eq!(refusal(&[added(), added()]), RefusalKind::ServiceExists);
    let server = add("10.0.0.1:80", with(Method::Direct));
    assert_eq!(
        refusal(&[added(), server.clone(), server]),
        RefusalKind::ServerExists
    );
}

#[test]
fn what_is_not_there_cannot_be_edited() {
    assert_eq!(
        refusal(&[Edit::EditService {
            service: service(),
            settings: settings("rr")
        }]),
        RefusalKind::NoSuchService
    );
    assert_eq!(
        refusal(&[Edit::DeleteService { service: service() }]),
        RefusalKind::NoSuchService
    );
    assert_eq!(
        refusal(&[add("10.0.0.1:80", with(Method::Nat))]),
        RefusalKind::ServiceNotDefined
    );
    let edit = Edit::EditServer {
        service: service(),
        server: server("10.0.0.1:80"),
        settings: with(Method::Nat),
    };
    assert_eq!(refusal(&[added(), edit]), RefusalKind::NoSuchServer);
}

#[test]
fn editing_a_service_replaces_its_settings_and_keeps_its_servers() {
    let edit = Edit::EditService {
        service: service(),
        settings: settings("wlc"),
    };
    let wanted = run(&[added(), add("10.0.0.1:80", with(Method::Nat)), edit])
        .unwrap()
        .unwrap();
    assert_eq!(wanted.settings.scheduler, "wlc");
    assert_eq!(wanted.servers.len(), 1);
}

#[test]
fn an_edit_of_ipvsadm_keeps_what_ipvsadm_has_no_word_for() {
    let mut redispatching = settings("rr");
    redispatching.redispatch = Some(true);
    let redispatching = Edit::AddService {
        service: service(),
        settings: redispatching,
    };
    let silent = ServiceSettings {
        redispatch: None,
        on_down: Some(lvs_api::model::OnDown::Keep),
        timeouts: Some(lvs_api::timeouts::Timeouts::default()),
        ..settings("wlc")
    };
    let edit = Edit::EditService {
        service: service(),
        settings: silent.clone(),
    };
    let kept = |edits: &[Edit]| run(edits).unwrap().unwrap().settings.redispatch;
    assert_eq!(kept(&[redispatching, edit.clone()]), Some(true));
    assert_eq!(kept(&[added(), edit]), Some(false));
    let new = Edit::AddService {
        service: service(),
        settings: silent,
    };
    assert_eq!(kept(&[new]), Some(false));
}

#[test]
fn editing_a_server_keeps_its_place() {
    let nat = with(Method::Nat);
    let heavy = ServerSettings { weight: 7, ..nat };
    let edit = Edit::EditServer {
        service: service(),
        server: server("10.0.0.1:80"),
        settings: heavy,
    };
    let wanted = run(&[
        added(),
        add("10.0.0.1:80", nat),
        add("10.0.0.2:80", nat),
        edit,
    ])
    .unwrap()
    .unwrap();
    assert_eq!(wanted.servers[1], (server("10.0.0.1:80"), heavy));
}

#[test]
fn settings_are_checked() {
    let mut unknown = settings("fifo");
    let edit = |settings: &ServiceSettings| Edit::AddService {
        service: service(),
        settings: settings.clone(),
    };
    assert_eq!(refusal(&[edit(&unknown)]), RefusalKind::UnknownScheduler);
    unknown.scheduler = "rr".to_owned();
    unknown.engine = Some("sap".to_owned());
    assert_eq!(refusal(&[edit(&unknown)]), RefusalKind::UnknownScheduler);
    unknown.engine = Some("sip".to_owned());
    unknown.persistence = Some(Persistence {
        timeout: 300,
        prefix: 33,
    });
    assert_eq!(refusal(&[edit(&unknown)]), RefusalKind::Invalid);
}

#[test]
fn server_settings_are_checked() {
    let nat = with(Method::Nat);
    for (address, settings, kind) in [
        (
            "10.0.0.1:80",
            ServerSettings {
                upper: 1,
                lower: 2,
                ..nat
            },
            RefusalKind::OutOfRange,
        ),
        (
            "10.0.0.1:80",
            ServerSettings {
                weight: 1 << 31,
                ..nat
            },
            RefusalKind::OutOfRange,
        ),
        ("[2001:db8::1]:80", nat, RefusalKind::Invalid),
        ("224.0.0.1:80", nat, RefusalKind::Invalid),
        ("255.255.255.255:80", nat, RefusalKind::Invalid),
        ("0.0.0.0:80", nat, RefusalKind::Invalid),
        ("10.0.0.1:80", with(Method::Local), RefusalKind::Invalid),
    ] {
        assert_eq!(
            refusal(&[added(), add(address, settings)]),
            kind,
            "{address}"
        );
    }
    assert!(run(&[added(), add("[2001:db8::1]:80", with(Method::Tunnel))]).is_ok());
}

#[test]
fn a_tunnel_has_an_encapsulation_that_there_is() {
    let with = |tunnel| ServerSettings {
        tunnel,
        ..with(Method::Tunnel)
    };
    for checksum in [Checksum::None, Checksum::Full, Checksum::Remote] {
        let gue = |port| add("10.0.0.1:80", with(Tunnel::Gue { port, checksum }));
        assert!(run(&[added(), gue(6080)]).is_ok());
        assert_eq!(refusal(&[added(), gue(0)]), RefusalKind::Invalid);
        let gre = add("10.0.0.1:80", with(Tunnel::Gre { checksum }));
        let accepted = run(&[added(), gre]).is_ok();
        assert_eq!(accepted, checksum != Checksum::Remote);
    }
}

#[test]
fn a_service_has_a_limited_number_of_servers() {
    let mut edits = vec![added()];
    for port in 1..=1025 {
        edits.push(add(&format!("10.0.0.1:{port}"), with(Method::Nat)));
    }
    assert!(run(&edits[..1025]).is_ok());
    assert_eq!(refusal(&edits), RefusalKind::NoRoom);
}

#[test]
fn only_nat_of_one_family_with_connections_has_sources() {
    let snat = |method, text: &str| ServerSettings {
        snat: Some(text.parse().unwrap()),
        ..with(method)
    };
    for text in ["auto", "10.0.0.254", "10.0.0.1-10.0.0.4:2000-2999"] {
        let wanted = run(&[added(), add("10.0.0.1:80", snat(Method::Nat, text))]);
        assert!(wanted.unwrap().unwrap().servers[0].1.snat.is_some());
    }
    for (method, text) in [
        (Method::Direct, "auto"),
        (Method::Tunnel, "auto"),
        (Method::Nat, "fd00::1"),
        (Method::Nat, "224.0.0.1"),
    ] {
        let add = add("10.0.0.1:80", snat(method, text));
        assert_eq!(
            refusal(&[added(), add]),
            RefusalKind::NotSupported,
            "{text}"
        );
    }
    let one_packet = ServiceSettings {
        one_packet: true,
        ..settings("rr")
    };
    let (service, settings) = (service(), one_packet);
    let edit = Edit::EditService { service, settings };
    let add = add("10.0.0.1:80", snat(Method::Nat, "auto"));
    let refused = refusal(&[added(), add.clone(), edit.clone()]);
    assert_eq!(refused, RefusalKind::NotSupported);
    assert_eq!(refusal(&[added(), edit, add]), RefusalKind::NotSupported);
}
