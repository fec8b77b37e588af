//! Redis checks of Redis.

use lvs_health::checkers::redis::Redis;
use lvs_tests::lab::Island;

use crate::asker::{Asker, credentials, pattern};
use crate::faulty_proxy::{FaultyProxy, Manner, spoil};

#[test]
fn redis_is_good_with_the_right_password() {
    let Some(island) = Island::for_story(&["redis-server"]) else {
        return;
    };
    let redis = |port: &str, more: &[&str]| {
        let folder = island.folder().display().to_string();
        let mut arguments = vec!["--port", port, "--dir", &folder, "--save", ""];
        arguments.extend(["--bind", "10.9.0.1", "--requirepass", "secret"]);
        arguments.extend(more);
        let port = port.parse().unwrap();
        island.start("redis-server", &arguments, port).unwrap()
    };
    let server = redis("6379", &[]);
    let _replica = redis("6380", &["--replicaof", "10.9.0.1", "6379"]);
    let asker = Asker { island: &island };
    let ask = |password: &str, request: &str, receive: Option<&str>| Redis {
        credentials: credentials("", password),
        request: request.to_owned(),
        receive: receive.map(pattern),
    };
    let ping = ask("secret", "", None);
    let master = ask("secret", "INFO replication", Some("(?m)^role:master"));
    asker.good(6379, &ping, "\"PONG\" from 10.9.0.1:6379");
    asker.good(6379, &master, "\"*role:master*\" from 10.9.0.1:6379");
    asker.bad(
        6380,
        &master,
        "\"*role:slave*\" from 10.9.0.1:6380, expected \"(?m)^role:master\"",
    );
    asker.bad(
        6379,
        &ask("", "", None),
        "\"NOAUTH *\" from 10.9.0.1:6379, expected no error",
    );
    asker.bad(
        6379,
        &ask("wrong", "", None),
        "\"WRONGPASS *\" from 10.9.0.1:6379, expected a login",
    );
    asker.bad(
        6379,
        &ask("secret", "NONSENSE", None),
        "\"ERR unknown command *\" from 10.9.0.1:6379, expected no error",
    );
    let reset = FaultyProxy::start(&island, 6379, 3, Manner::Reset);
    let text = "no answer from 10.9.0.1:*: connection reset by peer";
    asker.bad(reset.port, &ping, text);
    spoil(&asker, 6379, &ping, &[0, 3, 7]);
    server.freeze();
    asker.silent(6379, &ping, "no answer from 10.9.0.1:6379 in LIMIT");
    server.thaw();
    server.stop().unwrap();
    asker.bad(6379, &ping, "connection to 10.9.0.1:6379 refused");
}
