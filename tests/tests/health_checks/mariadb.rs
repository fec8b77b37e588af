//! SQL checks and a check command of MariaDB.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use lvs_api::model::Family::{Ipv4, Ipv6};
use lvs_api::model::Protocol;
use lvs_health::check::{Check, Kind};
use lvs_health::checkers::mysql::Mysql;
use lvs_health::checkers::none::Nothing;
use lvs_health::checkers::query::Query;
use lvs_health::outcome::Outcome;
use lvs_health::probe::external::External;
use lvs_tests::eventually;
use lvs_tests::lab::Island;
use lvs_tests::lab::island::Server;

use crate::asker::{Asker, assert_says, check, credentials, pattern, sql, text};
use crate::faulty_proxy::{FaultyProxy, Manner, spoil};

#[test]
fn mariadb_is_good_if_the_query_returns_a_row() {
    let Some(island) = Island::for_story(&["mariadbd", "mariadb-install-db"]) else {
        return;
    };
    let template = Template::new(&island).unwrap();
    let mariadb = template.start(3306).unwrap();
    let asker = Asker { island: &island };
    let sql = |password: &str, query: &str, receive: Option<&str>| {
        let receive = receive.map(pattern);
        Mysql(sql(password, "mysql", query, receive))
    };
    let two = sql("secret", "SELECT 1, NULL, 'two'", Some("two$"));

    asker.good(3306, &two, "row \"1\\tNULL\\ttwo\" from 10.9.0.1:3306");
    let over_ipv6 = asker.ask(Ipv6, 3306, two.clone());
    assert_says(
        &over_ipv6,
        true,
        "row \"1\\tNULL\\ttwo\" from [fd00:9::1]:3306",
    );
    asker.good(3306, &sql("secret", "", None), "login to 10.9.0.1:3306");

    asker.bad(
        3306,
        &sql("wrong", "SELECT 1", None),
        "answer to the login error 1045 \"Access denied for user 'probe'@*\" \
         from 10.9.0.1:3306, expected a login",
    );
    asker.bad(
        3306,
        &sql("secret", "SELECT 1 FROM dual WHERE false", None),
        "no row from 10.9.0.1:3306, expected one or more",
    );
    asker.bad(
        3306,
        &sql("secret", "SELECT 'one' UNION SELECT 'more'", Some("two")),
        "row \"one\" from 10.9.0.1:3306, expected \"two\"",
    );
    asker.bad(
        3306,
        &sql("secret", "SELECT * FROM nothing", None),
        "answer to the query error 1146 \"Table 'mysql.nothing' doesn't exist\" \
         from 10.9.0.1:3306, expected a row",
    );
    asker.bad(
        3306,
        &sql("secret", "DO 1", None),
        "no row from 10.9.0.1:3306, expected one or more",
    );
    asker.silent(
        3306,
        &sql("secret", "SELECT SLEEP(60)", None),
        "no answer to the query from 10.9.0.1:3306 in LIMIT",
    );
    let much = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 100) \
                SELECT REPEAT('x', 1000000) FROM n";
    asker.good(
        3306,
        &sql("secret", much, None),
        "row \"xxx*\" from 10.9.0.1:3306",
    );
    asker.bad(
        3306,
        &sql("secret", much, Some("y")),
        "an answer of more than 2097152 bytes from 10.9.0.1:3306",
    );
    // A user with a password of before 2003.
    let old = Mysql(Query {
        credentials: credentials("old", "secret"),
        database: String::new(),
        query: String::new(),
        receive: None,
    });
    asker.bad(
        3306,
        &old,
        "a request to log in by \"mysql_old_password\" from 10.9.0.1:3306, \
         expected mysql_native_password or caching_sha2_password",
    );

    let reset = FaultyProxy::start(&island, 3306, 90, Manner::Reset);
    let text = "no * 10.9.0.1:*: connection reset by peer";
    asker.bad(reset.port, &two, text);
    spoil(&asker, 3306, &two, &[0, 3, 20]);
    mariadb.freeze();
    asker.silent(3306, &two, "no greeting from 10.9.0.1:3306 in LIMIT");
    mariadb.thaw();
    mariadb.stop().unwrap();
    asker.bad(3306, &two, "connection to 10.9.0.1:3306 refused");
}

/// A role as HAProxy's users ask for it: by a script with its four arguments.
const ROLE: &str = r#"#!/bin/sh
# Usage: ROLE VIRTUAL VIRTUAL_PORT SERVER PORT, with the role in the script's name.
server=$3 port=$4
ask() { mariadb --no-defaults -h "$server" -P "$port" -u probe -psecret "$@"; }
read_only=$(ask -N -e 'SELECT @@read_only') || exit 1
running=$(ask -e 'SHOW ALL SLAVES STATUS\G' | grep -c '_Running: Yes')
echo "read_only=$read_only running=$running"
case $0 in
    *writer) [ "$read_only" = 0 ] && [ "$running" = 0 ] ;;
    *reader) [ "$read_only" = 1 ] && [ "$running" = 2 ] ;;
esac
"#;

#[test]
fn a_check_command_distinguishes_a_primary_from_its_replicas() {
    let Some(island) = Island::for_story(&["mariadbd", "mariadb-install-db", "mariadb"]) else {
        return;
    };
    let template = Template::new(&island).unwrap();
    let ports = [3306, 3307, 3308];
    let servers = ports.map(|port| template.start(port).unwrap());
    for port in [3307, 3308] {
        template
            .execute(
                port,
                "CHANGE MASTER TO MASTER_HOST='10.9.0.1', MASTER_PORT=3306, MASTER_USER='probe', \
                 MASTER_PASSWORD='secret', MASTER_USE_GTID=slave_pos; \
                 START SLAVE; SET GLOBAL read_only=1",
            )
            .unwrap();
    }
    let asker = Asker { island: &island };
    let scripts = ["writer", "reader"].map(|role| {
        let script = island.folder().join(role);
        fs::write(&script, ROLE).unwrap();
        island
            .run_as("root", "chmod", &["+x", &text(&script)])
            .unwrap();
        script
    });
    let ask = |role: usize, port: u16| asker.run(&external(&scripts[role], port));
    let (writer, reader) = (0, 1);
    // Replication starts by and by.
    for port in [3307, 3308] {
        let patience = Duration::from_mins(1);
        assert!(
            eventually(patience, || ask(reader, port).good),
            "{:?}",
            ask(reader, port)
        );
    }

    let says = |outcome: &Outcome, code, said: &str, port| {
        let good = code == 0;
        let expected = if good { "" } else { ", expected 0" };
        let text = format!("exit code {code} (\"{said}\") for 10.9.0.1:{port}{expected}");
        assert_says(outcome, good, &text);
    };
    says(&ask(writer, 3306), 0, "read_only=0 running=0", 3306);
    says(&ask(reader, 3306), 1, "read_only=0 running=0", 3306);
    says(&ask(writer, 3307), 1, "read_only=1 running=2", 3307);
    says(&ask(reader, 3307), 0, "read_only=1 running=2", 3307);

    // A replica that no longer follows is no reader; one that is promoted is the writer.
    template.execute(3308, "STOP SLAVE SQL_THREAD").unwrap();
    says(&ask(reader, 3308), 1, "read_only=1 running=1", 3308);
    let [primary, _replicas @ ..] = servers;
    drop(primary);
    says(&ask(writer, 3306), 1, "ERROR 2002 *", 3306);
    template
        .execute(3307, "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0")
        .unwrap();
    says(&ask(writer, 3307), 0, "read_only=0 running=0", 3307);
}

fn external(script: &Path, port: u16) -> Check {
    let address = Island::address(Ipv4);
    let external = External {
        command: script.to_owned(),
        perl: false,
        virtual_address: "10.9.0.100".to_owned(),
        virtual_port: 3306,
        server_address: address,
        server_port: port,
        max_connections: 0,
        protocol: Protocol::Tcp,
        service_name: "mysql".to_owned(),
        server_name: format!("mysql{port}"),
        weighs: false,
    };
    Check {
        kind: Kind::External(external),
        ..check(Ipv4, port, Nothing, Duration::from_secs(30))
    }
}

/// A MariaDB that is installed once and copied for each server.
struct Template<'a> {
    island: &'a Island,
    data: PathBuf,
}

impl<'a> Template<'a> {
    fn new(island: &'a Island) -> Result<Self> {
        let data = island.folder().join("mariadb");
        let arguments = [
            "--no-defaults",
            &format!("--datadir={}", data.display()),
            "--user=root",
            "--skip-test-db",
            "--skip-name-resolve",
            "--innodb-log-file-size=4M",
            // Not in /tmp, where others of its kind have tables of the same name.
            &format!("--tmpdir={}", island.folder().display()),
        ];
        island.run_as("root", "mariadb-install-db", &arguments)?;
        // The servers' users are not replicated: each has them from its start.
        let users = "SET sql_log_bin=0;\n\
                     CREATE USER IF NOT EXISTS probe IDENTIFIED BY 'secret';\n\
                     GRANT ALL ON *.* TO probe;\n\
                     CREATE USER IF NOT EXISTS old IDENTIFIED VIA mysql_old_password \
                     USING '565491d704013245';\n";
        fs::write(island.folder().join("users.sql"), users)?;
        Ok(Self { island, data })
    }

    /// Starts a server on a port.
    fn start(&self, port: u16) -> Result<Server> {
        let data = self.island.folder().join(format!("mariadb-{port}"));
        let (from, to) = (text(&self.data), text(&data));
        self.island.run_as("root", "cp", &["-r", &from, &to])?;
        let users = self.island.folder().join("users.sql");
        let options = [
            "--no-defaults".to_owned(),
            "--user=root".to_owned(),
            format!("--datadir={to}"),
            format!("--socket={to}/socket"),
            format!("--tmpdir={to}"),
            format!("--pid-file={to}/pid"),
            format!("--port={port}"),
            format!("--server-id={port}"),
            format!("--init-file={}", users.display()),
            "--log-bin=binlog".to_owned(),
            "--skip-name-resolve".to_owned(),
            "--secure-auth=0".to_owned(),
            "--innodb-log-file-size=4M".to_owned(),
            "--innodb-buffer-pool-size=8M".to_owned(),
            "--innodb-flush-log-at-trx-commit=0".to_owned(),
        ];
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        self.island.start("mariadbd", &options, port)
    }

    fn execute(&self, port: u16, statements: &str) -> Result<String> {
        let port = port.to_string();
        let arguments = [
            "--no-defaults",
            "-h",
            "10.9.0.1",
            "-P",
            &port,
            "-u",
            "probe",
            "-psecret",
            "-e",
            statements,
        ];
        self.island.run_as("root", "mariadb", &arguments)
    }
}
