//! Persistence: templates keep a client with its real server, and expire.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::{Direct, Nat};
use lvs_api::model::Protocol;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{FAMILIES, METHODS, virtual_address};
use lvs_tests::lab::client::download_source;
use lvs_tests::lab::director::{server_name, service, service_name};
use lvs_tests::lab::{Arms, Client, Lab};
use lvs_tests::pairs;

/// The lab with two more addresses at its client: to the director they are other clients.
fn lab_with_more_clients(scheduler: &str) -> Option<Lab> {
    let lab = Lab::for_story(Arms::Two, &service(Protocol::Tcp, Ipv4, Direct, scheduler))?;
    let more = MORE_CLIENTS.map(|client| format!("addr add {client}/24 dev eth0\n"));
    lab.client.namespace().ip(&more.concat()).unwrap();
    Some(lab)
}

const MORE_CLIENTS: [&str; 2] = ["10.1.0.20", "10.1.0.21"];

/// The server that answers a client with that address.
fn get_from(lab: &Lab, client: &str, address: IpAddr) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--fail", "--max-time", "5", "--noproxy", "*"])
        .args(["--interface", client])
        .arg(Client::url(address, "/"));
    let output = lab.client.namespace().output(&mut curl).unwrap();
    assert!(output.status.success(), "{client}: {}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn all_connections_of_a_persistent_client_go_to_one_server() {
    let lines: String = pairs(FAMILIES, METHODS)
        .map(|(family, method)| service(Protocol::Tcp, family, method, "rr -p 300"))
        .collect();
    let Some(lab) = Lab::for_story(Arms::Two, &lines) else {
        return;
    };
    for (family, method) in pairs(FAMILIES, METHODS) {
        let mut names = lab
            .client
            .get_many(virtual_address(family, method), 6)
            .unwrap();
        names.dedup();
        assert_eq!(names.len(), 1, "{method:?} over {family:?}: {names:?}");
    }
}

#[test]
fn a_persistent_client_keeps_its_server_even_a_quiesced_one() {
    let Some(lab) = lab_with_more_clients("rr -p 300") else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let [second, third] = MORE_CLIENTS;
    let mine = lab.client.get(address).unwrap();
    let theirs = get_from(&lab, second, address);
    assert_ne!(
        mine, theirs,
        "round robin gives the next client another server"
    );

    let number = mine.trim_start_matches("server").parse().unwrap();
    let service = service_name(Protocol::Tcp, Ipv4, Direct);
    lab.director
        .lvsadm(&format!(
            "-e {service} {} -g -w 0",
            server_name(Ipv4, number)
        ))
        .unwrap();
    for _ in 0..3 {
        assert_eq!(lab.client.get(address).unwrap(), mine);
        assert_eq!(get_from(&lab, second, address), theirs);
        assert_ne!(get_from(&lab, third, address), mine, "it is quiesced");
    }

    let connections = lab.director.lvsadm("-Lcn").unwrap();
    let templates: Vec<_> = connections
        .lines()
        .filter(|line| {
            line.contains(".10:0 ") || line.contains(".20:0 ") || line.contains(".21:0 ")
        })
        .collect();
    assert!(
        templates.len() == 3 && templates.iter().all(|line| line.contains("ASSURED")),
        "{connections}"
    );
    let counts = lab.director.lvsadm("-Ln --persistent-conn").unwrap();
    let persistent: u32 = counts
        .lines()
        .filter(|line| line.contains("10.2.0."))
        .filter_map(|line| line.split_whitespace().nth(3)?.parse::<u32>().ok())
        .sum();
    assert_eq!(persistent, 3, "{counts}");
}

#[test]
fn a_persistence_netmask_sends_a_whole_network_to_one_server() {
    let Some(lab) = lab_with_more_clients("rr -p 300 -M 255.255.255.0") else {
        return;
    };
    let address = virtual_address(Ipv4, Direct);
    let server = lab.client.get(address).unwrap();
    for client in MORE_CLIENTS {
        assert_eq!(get_from(&lab, client, address), server);
    }
}

/// The server that answers a message of a client; `None`: nobody does.
fn say(lab: &Lab, client: &str, to: SocketAddr, text: &str) -> Option<String> {
    let ask = || {
        let socket = UdpSocket::bind((client, 0)).unwrap();
        let patience = Some(Duration::from_millis(500));
        socket.set_read_timeout(patience).unwrap();
        let mut answer = [0; 2_048];
        // The first answer to a client may be lost while its Ethernet address is asked for.
        let length = (0..3).find_map(|_| {
            socket.send_to(text.as_bytes(), to).unwrap();
            socket.recv(&mut answer).ok()
        })?;
        Some(String::from_utf8_lossy(&answer[..length]).trim().to_owned())
    };
    lab.client.namespace().enter(ask).unwrap()
}

fn invite(call_id: &str) -> String {
    format!(
        "INVITE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.10\r\n\
         From: <sip:alice@example.org>;tag=1\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\r\n"
    )
}

/// Client, server and Call-ID of each call that `lvsadm -Lcn --persistent-conn` lists.
fn calls(lab: &Lab) -> Vec<[String; 3]> {
    let listed = lab.director.lvsadm("-Lcn --persistent-conn").unwrap();
    let mut calls: Vec<_> = listed
        .lines()
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            match words.as_slice() {
                [_, _, _, client, _, server, engine, id] if engine == "sip" => {
                    Some([client.clone(), server.clone(), id.clone()])
                }
                _ => None,
            }
        })
        .collect();
    calls.sort();
    calls
}

#[test]
fn messages_of_a_call_go_to_one_server() {
    for (arms, method, options) in [
        (Arms::Two, Nat, "rr -p 300 -M 255.255.255.0 --pe sip"),
        (Arms::One, Direct, "rr -p 300 -M 255.255.255.0 --pe sip"),
        // Behind the driver.
        (Arms::Container, Nat, "rr -p 300 -M 255.255.255.0 --pe sip"),
        // Replies by NAT would find no connection.
        (Arms::Two, Direct, "rr -p 300 -M 255.255.255.0 --pe sip -o"),
    ] {
        let lines = service(Protocol::Udp, Ipv4, method, options);
        let Some(lab) = Lab::for_story(arms, &lines) else {
            return;
        };
        let more = MORE_CLIENTS.map(|client| format!("addr add {client}/24 dev eth0\n"));
        lab.client.namespace().ip(&more.concat()).unwrap();
        let to = SocketAddr::new(virtual_address(Ipv4, method), 80);
        let [second, third] = MORE_CLIENTS;
        let server = say(&lab, second, to, &invite("one@example.org"));
        let other = say(&lab, second, to, &invite("other@example.org"));
        assert!(server.is_some() && other.is_some() && server != other);
        for client in [third, second, third] {
            assert_eq!(say(&lab, client, to, &invite("one@example.org")), server);
            assert_eq!(say(&lab, client, to, &invite("other@example.org")), other);
        }
        let listed = calls(&lab);
        let ids = listed.iter().map(|[client, _, id]| (&**client, &**id));
        let network: Ipv4Addr = second.parse().unwrap();
        let network = network & Ipv4Addr::new(255, 255, 255, 0);
        let client = format!("{network}:0");
        let expected = ["one@example.org", "other@example.org"];
        let expected = expected.map(|id| (&*client, id));
        let ids: BTreeSet<_> = ids.collect();
        assert_eq!(ids, BTreeSet::from(expected), "{listed:?}");

        let told = lab.director.lvsadm(&format!("why {third} {to} -u"));
        let told = told.unwrap();
        assert!(told.contains("this one begins a call"), "{told}");

        assert_eq!(say(&lab, third, to, "no message\r\n"), None);
        let verdicts = lab.director.lvsadm("--verdicts").unwrap();
        assert!(verdicts.contains("drop-no-call-id"), "{verdicts}");
        let saved = lab.director.lvsadm("-Sn").unwrap();
        assert!(saved.contains("--pe sip"), "{saved}");
    }
}

#[test]
fn a_call_lives_as_long_as_a_connection_of_it_and_an_unused_one_for_its_timeout() {
    let options = "rr -p 2 -M 255.255.255.0 --pe sip";
    let lines = [
        service(Protocol::Udp, Ipv4, Nat, options),
        service(Protocol::Udp, Ipv4, Direct, &format!("{options} -o")),
    ];
    let Some(lab) = Lab::for_story(Arms::Two, &lines.concat()) else {
        return;
    };
    let more = MORE_CLIENTS.map(|client| format!("addr add {client}/24 dev eth0\n"));
    lab.client.namespace().ip(&more.concat()).unwrap();
    let [to, unused] = [Nat, Direct].map(|it| SocketAddr::new(virtual_address(Ipv4, it), 80));
    let [second, third] = MORE_CLIENTS;
    let server = say(&lab, second, to, &invite("x@example.org"));
    assert!(server.is_some());
    assert!(say(&lab, second, unused, &invite("unused@example.org")).is_some());
    let ids = || {
        calls(&lab)
            .into_iter()
            .map(|[_, _, id]| id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids().len(), 2);
    // Both have two seconds, but the first one a connection for five minutes.
    let expired = || ids() == ["x@example.org"];
    assert!(eventually(Duration::from_secs(30), expired), "{:?}", ids());
    assert_eq!(say(&lab, third, to, &invite("x@example.org")), server);
    assert_eq!(ids(), ["x@example.org"]);
}

/// Seconds that the one template there is has left.
fn remaining(lab: &Lab) -> Option<u32> {
    let connections = lab.director.lvsadm("-Lcn").unwrap();
    let template = connections.lines().find(|line| line.contains(".10:0 "))?;
    // Minutes and seconds.
    let (minutes, seconds) = template.split_whitespace().nth(1)?.split_once(':')?;
    Some(minutes.parse::<u32>().unwrap() * 60 + seconds.parse::<u32>().unwrap())
}

#[test]
fn an_unused_template_expires_after_its_timeout() {
    let Some(lab) = Lab::for_story(Arms::Two, &service(Protocol::Udp, Ipv4, Nat, "rr -p 3")) else {
        return;
    };
    // Connections would keep it.
    lab.director.lvsadm("--set 0 0 1").unwrap();
    let asked = SocketAddr::new(virtual_address(Ipv4, Nat), 80);
    let first = lab.client.ask(asked, "hello").unwrap();
    // Longer than the time alone, but never so long between two connections.
    for _ in 0..3 {
        sleep(Duration::from_millis(1_500));
        assert_eq!(lab.client.ask(asked, "hello").unwrap(), first);
    }
    let gone = || remaining(&lab).is_none();
    assert!(eventually(Duration::from_secs(30), gone));
    assert_ne!(lab.client.ask(asked, "hello").unwrap(), first);
}

/// A connection of a client that is kept with its server for two seconds, and goes on for long.
fn lab_with_a_download() -> Option<(Lab, PathBuf, Child)> {
    let lab = Lab::for_story(Arms::Two, &service(Protocol::Tcp, Ipv4, Direct, "rr -p 2"))?;
    let (file, download) = lab
        .client
        .start_download(
            &Client::url(virtual_address(Ipv4, Direct), "/slow"),
            "download",
        )
        .unwrap();
    let begun = || download_source(&file).is_some();
    assert!(eventually(Duration::from_secs(20), begun));
    Some((lab, file, download))
}

/// Waits until the template's time has come and begun anew.
fn see_it_renewed(lab: &Lab) {
    let mut last = u32::MAX;
    let renewed = || {
        let before = std::mem::replace(&mut last, remaining(lab).expect("it is there"));
        last > before
    };
    assert!(eventually(Duration::from_secs(30), renewed));
}

#[test]
fn a_template_lives_as_long_as_its_connections() {
    let Some((lab, file, mut download)) = lab_with_a_download() else {
        return;
    };
    see_it_renewed(&lab);
    assert_eq!(
        Some(lab.client.get(virtual_address(Ipv4, Direct)).unwrap()),
        download_source(&file)
    );
    download.kill().unwrap();
    download.wait().unwrap();
}

#[test]
fn a_template_lives_on_while_the_daemon_is_frozen() {
    let Some((lab, file, mut download)) = lab_with_a_download() else {
        return;
    };
    let beyond_its_time = Duration::from_secs(4);
    lab.director.freeze(true).unwrap();
    sleep(beyond_its_time);
    let answered = lab.client.get(virtual_address(Ipv4, Direct));
    sleep(beyond_its_time);
    lab.director.freeze(false).unwrap();
    assert_eq!(answered.ok(), download_source(&file));
    see_it_renewed(&lab);
    download.kill().unwrap();
    download.wait().unwrap();
}
