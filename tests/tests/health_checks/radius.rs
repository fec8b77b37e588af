//! RADIUS checks of FreeRADIUS.

use std::fs;

use lvs_api::model::Family::Ipv6;
use lvs_health::checkers::radius::Radius;
use lvs_tests::lab::Island;
use lvs_tests::lab::island::Server;

use crate::asker::{Asker, assert_says, credentials};

#[test]
fn freeradius_is_good_with_the_right_password_and_secret() {
    let Some(island) = Island::for_story(&["freeradius"]) else {
        return;
    };
    let freeradius = freeradius(&island);
    let asker = Asker { island: &island };
    let radius = |password: &str, secret: &str| Radius {
        credentials: credentials("alice", password),
        secret: secret.to_owned(),
    };
    // Longer than one block of what hides it.
    let password = "a secret of more than sixteen bytes";
    let alice = radius(password, "sesame");
    asker.good(1812, &alice, "Access-Accept from 10.9.0.1:1812");
    let over_ipv6 = asker.ask(Ipv6, 1812, alice.clone());
    assert_says(&over_ipv6, true, "Access-Accept from [fd00:9::1]:1812");
    asker.bad(
        1812,
        &radius("wrong", "sesame"),
        "Access-Reject from 10.9.0.1:1812, expected Access-Accept",
    );
    // Who signs with another secret is not answered at all (RFC 3579, section 3.2).
    asker.silent(
        1812,
        &radius(password, "wrong"),
        "no answer from 10.9.0.1:1812 in LIMIT",
    );
    freeradius.freeze();
    asker.silent(1812, &alice, "no answer from 10.9.0.1:1812 in LIMIT");
    freeradius.thaw();
    freeradius.stop().unwrap();
    asker.bad(1812, &alice, "no answer from 10.9.0.1:1812: *");
}

fn freeradius(island: &Island) -> Server {
    let folder = island.make_folder("radius", "root").unwrap();
    let folder = folder.display();
    let settings = format!(
        "name = freeradius
prefix = /usr
logdir = {folder}
raddbdir = {folder}
confdir = {folder}
run_dir = {folder}
libdir = /usr/lib/freeradius
log {{
    destination = stdout
}}
security {{
    reject_delay = 0
}}
client ipv4 {{
    ipaddr = 0.0.0.0/0
    secret = sesame
}}
client ipv6 {{
    ipv6addr = ::/0
    secret = sesame
}}
modules {{
    pap {{
    }}
    files {{
        usersfile = {folder}/users
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = *
        port = 1812
    }}
    listen {{
        type = auth
        ipv6addr = ::
        port = 1812
    }}
    authorize {{
        files
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
    }}
}}
"
    );
    let users = "alice Cleartext-Password := \"a secret of more than sixteen bytes\"\n";
    fs::write(island.folder().join("radius/radiusd.conf"), settings).unwrap();
    fs::write(island.folder().join("radius/users"), users).unwrap();
    let folder = folder.to_string();
    let log = island.folder().join("freeradius.log");
    let arguments = ["-f", "-l", "stdout", "-d", &folder, "-n", "radiusd"];
    island
        .start_as("root", "freeradius", &arguments, |_| {
            fs::read_to_string(&log).is_ok_and(|log| log.contains("Ready to process requests"))
        })
        .unwrap()
}
