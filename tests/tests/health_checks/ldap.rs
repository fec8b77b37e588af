//! LDAP and LDAPS checks of OpenLDAP.

use std::fs;

use lvs_api::model::Family::Ipv6;
use lvs_health::checkers::ldap::Ldap;
use lvs_health::pattern::Pattern;
use lvs_health::probe::tls::Tls;
use lvs_tests::lab::Island;
use lvs_tests::lab::island::Server;

use crate::asker::{Asker, assert_says, credentials, pattern};
use crate::certificates::Authority;
use crate::faulty_proxy::{FaultyProxy, Manner, spoil};

const ADMIN: &str = "cn=admin,dc=example";
const ALICE: &str = "cn=alice,dc=example";

#[test]
fn openldap_is_good_if_it_has_the_entry() {
    let Some(island) = Island::for_story(&["slapd", "slapadd", "openssl"]) else {
        return;
    };
    let authority = Authority::new(&island).unwrap();
    let slapd = slapd(&island, &authority);
    let asker = Asker { island: &island };
    let ldap = |login: (&str, &str), base: &str, receive: Option<Pattern>, tls: Option<Tls>| Ldap {
        credentials: credentials(login.0, login.1),
        base: base.to_owned(),
        receive,
        tls,
    };
    let (nobody, admin) = (("", ""), (ADMIN, "secret"));
    let plain = ldap(nobody, ALICE, None, None);

    let good = "entry \"cn=alice,dc=example\" from 10.9.0.1:389";
    asker.good(389, &plain, good);
    asker.good(
        389,
        &ldap(admin, ALICE, Some(pattern("^cn=alice,")), None),
        good,
    );
    // The server's own entry has no name.
    asker.good(
        389,
        &ldap(nobody, "", None, None),
        "entry \"\" from 10.9.0.1:389",
    );
    asker.good(
        636,
        &ldap(
            admin,
            ALICE,
            None,
            Some(authority.tls(Some("ldap.example"))),
        ),
        "entry \"cn=alice,dc=example\" from 10.9.0.1:636",
    );
    assert_says(
        &asker.ask(Ipv6, 389, plain.clone()),
        true,
        "entry \"cn=alice,dc=example\" from [fd00:9::1]:389",
    );

    asker.bad(
        389,
        &ldap((ADMIN, "wrong"), ALICE, None, None),
        "answer to the bind 49 (invalidCredentials) from 10.9.0.1:389, expected 0 (success)",
    );
    asker.bad(
        389,
        &ldap(nobody, "cn=bob,dc=example", None, None),
        "answer to the search 32 (noSuchObject) from 10.9.0.1:389, expected 0 (success)",
    );
    asker.bad(
        389,
        &ldap(nobody, ALICE, Some(pattern("bob")), None),
        "entry \"cn=alice,dc=example\" from 10.9.0.1:389, expected \"bob\"",
    );
    asker.bad(
        636,
        &ldap(nobody, ALICE, None, Some(Tls::default())),
        "no TLS handshake with 10.9.0.1:636: *certificate*",
    );

    // In the middle of the answer to the bind, and of the one to the search.
    for (bytes, awaited) in [(5, "bind"), (20, "search")] {
        let reset = FaultyProxy::start(&island, 389, bytes, Manner::Reset);
        let text = format!("no answer to the {awaited} from 10.9.0.1:*: connection reset by peer");
        asker.bad(reset.port, &plain, &text);
    }
    let flood = FaultyProxy::start(&island, 389, 14, Manner::Flood);
    asker.bad(
        flood.port,
        &plain,
        "answer to the search that is not LDAP from 10.9.0.1:*, expected LDAP",
    );
    spoil(&asker, 389, &plain, &[0, 1, 14]);
    slapd.freeze();
    asker.silent(
        389,
        &plain,
        "no answer to the bind from 10.9.0.1:389 in LIMIT",
    );
    slapd.thaw();
    slapd.stop().unwrap();
    asker.bad(389, &plain, "connection to 10.9.0.1:389 refused");
}

fn slapd(island: &Island, authority: &Authority<'_>) -> Server {
    let (certificate, key) = authority.certify(&["ldap.example"]).unwrap();
    let folder = island.make_folder("ldap", "root").unwrap();
    island.make_folder("ldap/data", "root").unwrap();
    let (folder, certificate, key) = (folder.display(), certificate.display(), key.display());
    let settings = format!(
        "include /etc/ldap/schema/core.schema
pidfile {folder}/pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix \"dc=example\"
rootdn \"{ADMIN}\"
rootpw secret
directory {folder}/data
"
    );
    let configuration = format!("{folder}/slapd.conf");
    fs::write(&configuration, settings).unwrap();
    let entries = format!(
        "dn: dc=example\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n\
         dn: {ALICE}\nobjectClass: person\ncn: alice\nsn: alice\n"
    );
    let file = format!("{folder}/entries.ldif");
    fs::write(&file, entries).unwrap();
    island
        .run_as(
            "root",
            "slapadd",
            &["-q", "-f", &configuration, "-l", &file],
        )
        .unwrap();
    let arguments = ["-f", &*configuration, "-h", "ldap:/// ldaps:///", "-d", "0"];
    island.start("slapd", &arguments, 389).unwrap()
}
