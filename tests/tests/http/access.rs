//! Who may ask for what, and clients that ask too much.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use lvs_tests::eventually;

use crate::web_lab::{ADDRESS, PATIENCE, WebLab};

const ANNA: &[&str] = &["-u", "anna:open sesame"];
const RITA: &[&str] = &["-u", "rita:open sesame"];
const TOKEN: &[&str] = &["-H", "Authorization: Bearer t0ken"];
/// A harmless change.
const CHANGE: &[&str] = &[
    "-X",
    "POST",
    "-H",
    "Content-Type: application/json",
    "-d",
    r#"{"zero":{"service":null}}"#,
];

#[test]
fn everybody_may_read_and_nobody_operate_without_a_file_of_users() {
    let Some(web) = WebLab::open() else {
        return;
    };
    assert_eq!(web.ask("/livez", &[]).body, "ok\n");
    assert_eq!(web.ask("/readyz", &[]).status, 200);
    assert_eq!(web.ask("/v1/status", &[]).status, 200);
    let described = web.ask("/v1/openapi.json", &[]).body;
    assert!(described.contains("\"/v1/orders\""), "{described}");
    let refused = web.ask("/v1/edits", CHANGE);
    assert_eq!(refused.status, 403);
    assert!(
        refused
            .head
            .contains("content-type: application/problem+json"),
        "{}",
        refused.head
    );
    let missing = web.ask("/v2/status", &[]);
    assert_eq!(missing.status, 404);
    assert!(
        missing
            .head
            .contains("content-security-policy: default-src 'none';"),
        "{}",
        missing.head
    );
}

#[test]
fn users_have_the_rights_of_their_file() {
    let Some(web) = WebLab::with_users() else {
        return;
    };
    assert_eq!(web.ask("/livez", &[]).status, 200);
    let stranger = web.ask("/metrics", &[]);
    assert_eq!(stranger.status, 401);
    assert!(
        stranger
            .head
            .contains("www-authenticate: basic realm=\"lvsd\""),
        "{}",
        stranger.head
    );
    for (user, change) in [(ANNA, 204), (RITA, 403), (TOKEN, 403)] {
        assert_eq!(web.ask("/metrics", user).status, 200, "{user:?}");
        assert_eq!(
            web.ask("/v1/edits", &[user, CHANGE].concat()).status,
            change,
            "{user:?}"
        );
    }
    let other = [ANNA, CHANGE, &["-H", "Origin: https://evil.example"]].concat();
    assert_eq!(web.ask("/v1/edits", &other).status, 403);
    web.logs("HTTP: anna from 127.0.0.1: POST /v1/edits: 204");
}

#[test]
fn changes_and_traces_are_logged() {
    let Some(web) = WebLab::with_users() else {
        return;
    };
    let json = |body| ["-H", "Content-Type: application/json", "-d", body];
    let why = json(r#"{"protocol":"tcp","client":"198.51.100.7","virtual":"192.0.2.1"}"#);
    let why = web.ask("/v1/why", &[ANNA, &why].concat());
    assert_eq!(why.status, 404, "{}", why.body);
    let trace = json(r#"{"filter":"no filter"}"#);
    assert_eq!(web.ask("/v1/trace", &[ANNA, &trace].concat()).status, 422);
    let reads = [ANNA, &json("{}"), &["-X", "DELETE"]].concat();
    assert_eq!(web.ask("/v1/status", &reads).status, 405);
    web.logs("HTTP: anna from 127.0.0.1: DELETE /v1/status: 405");
    web.logs("HTTP: anna from 127.0.0.1: POST /v1/trace: 422");
    let log = fs::read_to_string(web.lab.director.log()).unwrap();
    assert!(!log.contains("/v1/why"), "{log}");
}

#[test]
fn wrong_passwords_are_logged_and_slowed_down() {
    let Some(web) = WebLab::with_users() else {
        return;
    };
    let wrong: &[&str] = &["-u", "anna:guess"];
    assert_eq!(web.ask("/metrics", wrong).status, 401);
    // The wait grows with each: it is met, however slowly they are made.
    let limited = || {
        let answer = web.ask("/metrics", &["-u", "otto:guess"]);
        answer.status == 429 && answer.head.contains("retry-after: ")
    };
    assert!(eventually(PATIENCE, limited));
    web.logs("HTTP: a wrong password of \"anna\" from 127.0.0.1, number 1");
    let log = fs::read_to_string(web.lab.director.log()).unwrap();
    assert!(!log.contains("guess"), "{log}");
    // Who has a token does not wait for those who guess.
    assert_eq!(web.ask("/metrics", TOKEN).status, 200);
    // The right one is good again after a while.
    assert!(eventually(PATIENCE, || web.ask("/metrics", ANNA).status == 200));
}

#[test]
fn a_file_of_users_is_read_again_at_a_reload() {
    let Some(web) = WebLab::with_users() else {
        return;
    };
    assert_eq!(web.ask("/metrics", RITA).status, 200);
    let users = web.users();
    let text = fs::read_to_string(&users).unwrap();
    fs::write(&users, "nonsense\n").unwrap();
    web.reload();
    web.logs("users:1: two colons are missing");
    assert_eq!(web.ask("/metrics", RITA).status, 200);
    let without: String = text
        .lines()
        .filter(|line| !line.starts_with("rita"))
        .fold(String::new(), |all, line| all + line + "\n");
    fs::write(&users, without).unwrap();
    web.reload();
    assert!(eventually(PATIENCE, || web.ask("/metrics", RITA).status != 200));
}

#[test]
fn passwords_do_not_cross_a_network_in_clear_text() {
    let Some(web) = WebLab::new() else {
        return;
    };
    let users = web.users();
    let users = users.to_string_lossy();
    let start = |options: &[&str]| {
        let mut command = web.lab.director.command(options);
        let output = web.lab.director.namespace().output(&mut command).unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let refused = start(&["--http", "0.0.0.0:8850", "--http-users", &users]);
    assert!(
        refused.contains("clear text") && refused.contains("--http-certificate"),
        "{refused}"
    );
    fs::set_permissions(&*users, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let refused = start(&["--http", ADDRESS, "--http-users", &users]);
    assert!(refused.contains("chmod o= "), "{refused}");
}

#[test]
fn clients_are_served_by_tls() {
    let Some(web) = WebLab::new() else {
        return;
    };
    let (certificate, key) = (
        web.lab.folder().join("cert.pem"),
        web.lab.folder().join("key.pem"),
    );
    let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
    let subject = [
        "-subj",
        "/CN=director",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ];
    let make = [
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            &*key,
            "-out",
            &*certificate,
        ],
        &subject[..],
    ];
    let made = std::process::Command::new("openssl")
        .args(make.concat())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let users = web.users();
    let users = users.to_string_lossy();
    let options = [
        "--http-users",
        &*users,
        "--http-certificate",
        &*certificate,
        "--http-key",
        &*key,
    ];
    let readable = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(&*key, mode).unwrap();
    };
    readable(0o644);
    let mut command = web
        .lab
        .director
        .command(&[&["--http", ADDRESS], &options[..]].concat());
    let output = web.lab.director.namespace().output(&mut command).unwrap();
    let refused = String::from_utf8_lossy(&output.stderr);
    assert!(
        refused.contains("key.pem may be read or changed by everybody"),
        "{refused}"
    );
    readable(0o600);
    web.start(&options);
    let url = format!("https://{ADDRESS}/metrics");
    let answer = web.ask_at(&url, &[ANNA, &["--cacert", &*certificate]].concat());
    assert_eq!(answer.status, 200);
}

#[test]
fn large_and_slow_requests_are_refused() {
    let Some(web) = WebLab::with_users() else {
        return;
    };
    let large = web.lab.folder().join("large");
    fs::write(&large, vec![b' '; 5 << 20]).unwrap();
    let body = format!("@{}", large.display());
    let large = [
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        &*body,
    ];
    assert_eq!(web.ask("/v1/edits", &[ANNA, &large].concat()).status, 413);
    let head = format!("X-Large: {}", "x".repeat(40_000));
    assert_eq!(web.ask("/livez", &["-H", &head]).status, 431);
    // A head that does not come, and many connections of one client.
    web.lab
        .director
        .namespace()
        .enter(|| {
            let mut slow: Vec<_> = (0..40)
                .map(|_| TcpStream::connect(ADDRESS).unwrap())
                .collect();
            for stream in &mut slow {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n");
            }
            // Those beyond the limit at once, the others when their time is over.
            for stream in &mut slow {
                let mut answer = Vec::new();
                let ended = stream.read_to_end(&mut answer);
                let timed_out =
                    ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
                assert!(!timed_out, "a slow client is still connected");
            }
        })
        .unwrap();
    let url = format!("http://{ADDRESS}/livez");
    let answered = || web.try_ask_at(&url, &[]).is_ok_and(|it| it.status == 200);
    assert!(eventually(PATIENCE, answered));
}
