//! SQL checks of PostgreSQL.

use std::fs;

use lvs_api::model::Family::Ipv6;
use lvs_health::checkers::pgsql::Pgsql;
use lvs_tests::lab::Island;
use lvs_tests::lab::island::{Server, give};

use crate::asker::{Asker, assert_says, pattern, sql, text};
use crate::certificates::Authority;
use crate::faulty_proxy::{FaultyProxy, Manner, spoil};

#[test]
fn postgresql_is_good_if_the_query_returns_a_row() {
    let programs = ["initdb", "postgres", "pg_isready", "openssl"];
    let Some(island) = Island::for_story(&programs) else {
        return;
    };
    make(&island);
    let postgresql = start(&island, "host", &[]);
    let asker = Asker { island: &island };
    let sql = |password: &str, query: &str, receive: Option<&str>| {
        let receive = receive.map(pattern);
        Pgsql(sql(password, "postgres", query, receive))
    };
    let two = sql("secret", "SELECT 1, NULL, 'two'", Some("two$"));

    asker.good(5432, &two, "row \"1\\tNULL\\ttwo\" from 10.9.0.1:5432");
    let over_ipv6 = asker.ask(Ipv6, 5432, two.clone());
    assert_says(
        &over_ipv6,
        true,
        "row \"1\\tNULL\\ttwo\" from [fd00:9::1]:5432",
    );
    asker.good(5432, &sql("secret", "", None), "login to 10.9.0.1:5432");

    asker.bad(
        5432,
        &sql("wrong", "SELECT 1", None),
        "answer to the login FATAL 28P01 \"password authentication failed for user \"probe\"\" \
         from 10.9.0.1:5432, expected a login",
    );
    asker.bad(
        5432,
        &sql("secret", "SELECT 1 WHERE false", None),
        "no row from 10.9.0.1:5432, expected one or more",
    );
    asker.bad(
        5432,
        &sql("secret", "SELECT 'one'", Some("two")),
        "row \"one\" from 10.9.0.1:5432, expected \"two\"",
    );
    asker.bad(
        5432,
        &sql("secret", "SELECT * FROM nothing", None),
        "answer to the query ERROR 42P01 \"relation \"nothing\" does not exist\" \
         from 10.9.0.1:5432, expected a row",
    );
    asker.silent(
        5432,
        &sql("secret", "SELECT pg_sleep(60)", None),
        "no answer to the query from 10.9.0.1:5432 in LIMIT",
    );
    let much = "SELECT repeat('x', 1000000) FROM generate_series(1, 100)";
    asker.good(
        5432,
        &sql("secret", much, None),
        "row \"xxx*\" from 10.9.0.1:5432",
    );
    asker.bad(
        5432,
        &sql("secret", much, Some("y")),
        "an answer of more than 2097152 bytes from 10.9.0.1:5432",
    );

    let reset = FaultyProxy::start(&island, 5432, 100, Manner::Reset);
    let text = "no answer to the login from 10.9.0.1:*: connection reset by peer";
    asker.bad(reset.port, &two, text);
    spoil(&asker, 5432, &two, &[0, 3, 100]);
    postgresql.freeze();
    asker.silent(
        5432,
        &two,
        "no answer to the login from 10.9.0.1:5432 in LIMIT",
    );
    postgresql.thaw();
    postgresql.stop().unwrap();
    asker.bad(5432, &two, "connection to 10.9.0.1:5432 refused");

    // Now it takes nobody without TLS; its certificate is of an authority that this machine does not know.
    let authority = Authority::new(&island).unwrap();
    let (certificate, key) = authority.certify(&["pgsql.example"]).unwrap();
    give(&key, "postgres").unwrap();
    let certificate = format!("ssl_cert_file={}", certificate.display());
    let key = format!("ssl_key_file={}", key.display());
    let _postgresql = start(
        &island,
        "hostssl",
        &["-c", "ssl=on", "-c", &certificate, "-c", &key],
    );
    asker.good(5432, &two, "row \"1\\tNULL\\ttwo\" from 10.9.0.1:5432");
    asker.bad(
        5432,
        &sql("wrong", "SELECT 1", None),
        "answer to the login FATAL 28P01 *",
    );
    let reset = FaultyProxy::start(&island, 5432, 100, Manner::Reset);
    let text = "no TLS handshake with 10.9.0.1:*: connection reset by peer";
    asker.bad(reset.port, &two, text);
}

/// Makes a cluster of data bases.
fn make(island: &Island) {
    let folder = island.make_folder("postgresql", "postgres").unwrap();
    let password = folder.join("password");
    fs::write(&password, "secret").unwrap();
    give(&password, "postgres").unwrap();
    let (data, password) = (text(&folder.join("data")), text(&password));
    let arguments = [
        "--no-sync",
        "--locale=C",
        "--auth=scram-sha-256",
        "--username=probe",
        "--pgdata",
        &data,
        "--pwfile",
        &password,
    ];
    island.run_as("postgres", "initdb", &arguments).unwrap();
}

/// Starts it for connections of this type (the first word of a line of `pg_hba.conf`).
fn start(island: &Island, connections: &str, options: &[&str]) -> Server {
    let folder = island.folder().join("postgresql");
    let data = text(&folder.join("data"));
    let rule = format!("{connections} all all all scram-sha-256\n");
    fs::write(folder.join("data/pg_hba.conf"), rule).unwrap();
    let socket = format!("unix_socket_directories={}", folder.display());
    let mut arguments = vec![
        "-D",
        &data,
        "-c",
        "listen_addresses=*",
        "-c",
        &socket,
        "-c",
        "fsync=off",
        "-c",
        "client_connection_check_interval=100ms",
    ];
    arguments.extend(options);
    island
        .start_as("postgres", "postgres", &arguments, |server| {
            server.succeeds("pg_isready", &["-h", "10.9.0.1"])
        })
        .unwrap()
}
