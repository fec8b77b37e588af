//! Errors and warnings.

use super::super::Severity::{Error, Warning};
use super::{section, told};

#[test]
fn all_errors_are_told_each_with_its_line() {
    let text = "\
checktimeout = 0
    real = 10.0.0.1:80 gate
virtual = 192.0.2.10
    real = 10.0.0.1:80 gated
    recieve = \"x\"
    quorum = many
virtual = nobody.example:80
    real = 10.0.0.1:80 gate
virtual = 192.0.2.10:81
    real = nobody.example:80 gate
    scheduler = best
    receive = \"(\"
virtual = 192.0.2.10:81
";
    let errors = told(text, Error);
    let lines: Vec<_> = errors.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13], "{errors:#?}");
    for (index, part) in [
        (2, "10.9"),
        (3, "must be gate, masq or ipip"),
        (4, "is receive meant?"),
        (7, "no such name"),
        (8, "wrr"),
        (10, "duplicate virtual server"),
    ] {
        let part = if index == 2 { "192.0.2.10:80" } else { part };
        assert!(errors[index].1.contains(part), "{:?}", errors[index]);
    }
}

/// The warnings of a virtual service with these lines below it.
fn warnings(lines: &[&str]) -> Vec<(usize, String)> {
    let text = section(lines);
    assert_eq!(told(&text, Error), [], "{text}");
    told(&text, Warning)
}

#[test]
fn masq_to_another_port_of_this_machine_is_doubtful() {
    let said = warnings(&["real = 127.0.0.1:8080 masq", "checktype = off"]);
    assert!(
        said.iter()
            .any(|(line, why)| *line == 2 && why.contains("address of this machine")),
        "{said:?}"
    );
    for kept in ["real = 127.0.0.1:80 masq", "real = 10.99.0.1:8080 masq"] {
        let said = warnings(&[kept, "checktype = off"]);
        assert!(
            said.iter().all(|(_, why)| !why.contains("this machine")),
            "{said:?}"
        );
    }
}

#[test]
fn a_usual_file_is_beyond_doubt() {
    assert_eq!(
        warnings(&[
            "real = 10.0.0.1:80 gate",
            "real = 10.0.0.2:80 gate",
            "service = http",
            "request = \"/health\"",
            "receive = \"OK\"",
            "fallback = 127.0.0.1:80",
        ]),
        []
    );
}

/// Lines of a virtual service, of which the one with this number is warned of in these words.
type Case<'a> = (&'a [&'a str], usize, &'a str);

fn are_told(cases: &[Case<'_>]) {
    for (lines, line, part) in cases {
        let found = warnings(lines);
        assert!(
            found
                .iter()
                .any(|(at, text)| at == line && text.contains(part)),
            "{lines:?}: {found:#?}"
        );
    }
}

#[test]
fn keywords_that_nothing_uses_are_told() {
    const REAL: &str = "real = 10.0.0.1:80 gate";
    let cases: &[Case<'_>] = &[
        (
            &[REAL, "checktype = connect", "request = \"/\""],
            4,
            "request has no effect with checktype = connect",
        ),
        (
            &[REAL, "checktype = ping", "checkport = 81"],
            4,
            "checkport has no effect with checktype = ping",
        ),
        (
            &[REAL, "checktype = external", "receive = \"ok\""],
            4,
            "receive has no effect with checktype = external",
        ),
        (
            &[REAL, "service = ftp", "httpmethod = HEAD"],
            4,
            "httpmethod has no effect with service = ftp",
        ),
        (
            &[REAL, "service = http", "cafile = /etc/ssl/ca.pem"],
            4,
            "cafile has no effect with service = http",
        ),
        (
            &[REAL, "service = smtp", "sni = mail"],
            4,
            "sni has no effect with service = smtp",
        ),
        (
            &[REAL, "service = none", "request = \"/\""],
            4,
            "request has no effect with service = none",
        ),
        (&[REAL, "udptimeout = 9"], 3, "virtual service of TCP"),
        (
            &[REAL, "protocol = udp", "tcptimeout = 9"],
            4,
            "virtual service of UDP",
        ),
        (
            &[REAL, "weightby = time", "scheduler = lc"],
            3,
            "weightby has no effect",
        ),
        (
            &[REAL, "hangtimeout = 20", "negotiatetimeout = 30"],
            3,
            "hangtimeout has no effect on checks of at most 30s",
        ),
        (&[REAL, "emailalertfreq = 60"], 3, "without emailalert"),
    ];
    are_told(cases);
}

#[test]
fn keywords_that_the_kind_of_check_uses_are_not_told() {
    let uses: &[(&str, &[&str])] = &[
        (
            "https",
            &[
                "request",
                "receive",
                "sni",
                "cafile",
                "verify",
                "httpmethod",
                "redirects",
                "maxbody",
            ],
        ),
        ("mysql", &["login", "passwd", "database", "request", "row"]),
        ("radius", &["login", "passwd", "secret"]),
        ("dns", &["request", "record", "receive"]),
        ("ftp", &["login", "passwd", "request", "receive"]),
        ("udp", &["request", "receive"]),
    ];
    let value = |keyword: &str| match keyword {
        "httpmethod" => "GET",
        "verify" => "no",
        "record" => "A",
        "redirects" | "maxbody" => "3",
        _ => "\"x\"",
    };
    for (kind, keywords) in uses {
        let service = format!("service = {kind}");
        let lines = keywords
            .iter()
            .map(|keyword| format!("{keyword} = {}", value(keyword)));
        let lines: Vec<String> = ["real = 10.0.0.1:80 gate".to_owned(), service]
            .into_iter()
            .chain(lines)
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let found = warnings(&lines);
        assert!(
            !found.iter().any(|(_, text)| text.contains("has no effect")),
            "{kind}: {found:#?}"
        );
    }
}

#[test]
fn doubtful_files_are_told() {
    const REAL: &str = "real = 10.0.0.1:80 gate";
    let cases: &[Case<'_>] = &[
        (&[], 1, "no real server"),
        (&["real = 10.0.0.1:80 gate 0"], 1, "weight 0"),
        (&[REAL, "real = 10.0.0.1:80 gate"], 3, "line 2 already"),
        (&["real = 10.0.0.1:80 gate backup=yes"], 1, "backup"),
        (&[REAL, "fallback = 10.0.0.1:80"], 2, "fallback server"),
        (&["real = 10.0.0.1:8080 gate"], 2, "only checked"),
        (&[REAL, "checktype = on"], 3, "never fail"),
        (&[REAL, "checktype = off"], 3, "never hold"),
        (&[REAL, "service = none"], 3, "never fail"),
        (&[REAL, "service = pop"], 3, "greeting"),
        (&[REAL, "service = ftp"], 3, "login"),
        (&[REAL, "service = dns"], 3, "no name"),
        (&[REAL, "service = dns", "request = \"a\""], 3, "any answer"),
        (&[REAL, "service = https"], 3, "private"),
        (
            &[REAL, "service = https", "cafile = /no/file"],
            3,
            "/no/file",
        ),
        (&[REAL, "service = mysql"], 3, "login and request"),
        (&[REAL, "service = mysql"], 1, "database without ondown"),
        (&[REAL, "interval = 2000"], 3, "2000ms"),
        (&[REAL, "checktimeout = 1000"], 3, "1000ms"),
        (&[REAL, "service = radius"], 3, "secret"),
        (&[REAL, "service = simpletcp"], 3, "any line"),
        (&[REAL, "service = http_proxy"], 3, "whole URL"),
        (&[REAL, "checktype = external"], 3, "/bin/true"),
        (
            &[REAL, "checktype = external", "checkcommand = /no/command x"],
            4,
            "no arguments",
        ),
        (&[REAL, "checkcommand = /bin/false"], 3, "without checktype"),
        (
            &[REAL, "httpmethod = HEAD", "receive = \"x\""],
            1,
            "no body",
        ),
        (&[REAL, "checkinterval = 3"], 3, "fork"),
        (&[REAL, "netmask = 255.255.255.0"], 3, "persistent"),
        (&[REAL, "ops = yes"], 3, "not UDP"),
        (&[REAL, "checkcount = 3"], 3, "old word"),
        (&[REAL, "fall = 2", "failurecount = 3"], 4, "beside fall"),
        (
            &[REAL, "scheduler = rr", "scheduler = wlc"],
            3,
            "again on line 4",
        ),
        (
            &[REAL, "fallback = 10.0.0.8", "fallback = 10.0.0.9"],
            3,
            "with commas",
        ),
        (&[REAL, "quorum = 5"], 3, "5"),
        (&[REAL, "quorum_up = /bin/x"], 3, "without quorum"),
        (
            &[REAL, "slowstart = 10", "scheduler = rr"],
            3,
            "knows no weights",
        ),
        (&[REAL, "weightby = script"], 3, "without an external check"),
        (&[REAL, "fastinterval = 20"], 3, "longer than interval"),
        (&[REAL, "interval = 1"], 3, "31s"),
        (
            &[REAL, "check = connect", "checktype = connect"],
            4,
            "the check lines are",
        ),
        (
            &["real = 10.0.0.1:80 masq", "checkpath = service"],
            2,
            "no effect",
        ),
        (
            &[
                REAL,
                "checktype = external",
                "checkcommand = /bin/false",
                "checkpath = service",
            ],
            2,
            "an external command connects by itself",
        ),
        (
            &[REAL, "service = oracle", "checkpath = service"],
            2,
            "sqlplus connects by itself",
        ),
    ];
    are_told(cases);
}

#[test]
fn a_port_without_a_known_service_is_told() {
    for (target, part) in [("192.0.2.10:8443", "port 8443"), ("5", "firewall mark")] {
        let text = format!("virtual = {target}\n    real = 10.0.0.1:8443 masq\n");
        let found = told(&text, Warning);
        assert!(found[0].1.contains(part), "{found:?}");
    }
}

#[test]
fn a_check_needs_a_port() {
    let text = "virtual = 5\n    real = 10.0.0.1 gate\n    checktype = connect\n";
    let found = told(text, Warning);
    assert!(found[0].1.contains("no port is known"), "{found:?}");
}

#[test]
fn more_than_the_tables_hold_is_an_error() {
    let many = "    real = 10.0.0.0->10.0.3.255:80 gate\n    real = 10.0.4.0:80 gate\n";
    let errors = told(&format!("virtual = 192.0.2.10:80\n{many}"), Error);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].1.contains("too many real servers"), "{errors:?}");
}

#[test]
fn a_server_that_stands_twice_is_used_once() {
    let text = section(&["real = 10.0.0.1:80 gate 1", "real = 10.0.0.1:81 gate 2"]);
    let servers = super::only(&text).servers;
    assert_eq!(servers.len(), 1);
    assert_eq!(servers[0].settings.weight, 1);
}

#[test]
fn a_server_that_a_role_keeps_down_may_be_the_fallback() {
    let lines = [
        "real = 10.0.0.1:3306 masq",
        "real = 10.0.0.2:3306 masq",
        "fallback = 10.0.0.1:3306 masq",
    ];
    let told_of = |more: &[&str]| {
        let said = warnings(&[&lines[..], more].concat());
        said.iter()
            .any(|(_, text)| text.contains("stand in for itself") || text.contains("too"))
    };
    assert!(told_of(&["checktype = connect"]));
    let role = [
        "service = mysql",
        "login = \"a\"",
        "request = \"SELECT 1\"",
        "row = \"1\"",
    ];
    assert!(!told_of(&role));
    assert!(!told_of(&[
        "checktype = external",
        "checkcommand = /bin/false"
    ]));
}

#[test]
fn a_script_whose_interpreter_is_missing_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("check");
    let command = format!("checkcommand = {}", path.display());
    let said = |text: &str| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let found = warnings(&["real = 10.0.0.1:80 gate", "checktype = external", &command]);
        found.into_iter().map(|(_, text)| text).collect::<String>()
    };
    assert!(said("#!/bin/sh\r\nexit 0\r\n").contains("CR LF"));
    assert!(said("#! /no/such/perl -w\nexit 0\n").contains("/no/such/perl"));
    for right in ["#!/bin/sh\nexit 0\n", "#! /bin/sh -e\n", "exit 0\n"] {
        assert_eq!(said(right), "", "{right:?}");
    }
}

#[test]
fn a_command_that_its_user_may_not_use_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("check");
    std::fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
    let command = format!("checkcommand = {}", path.display());
    let said = |mode: u32, user: &str| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let real = "real = 10.0.0.1:80 gate";
        let found = warnings(&[real, "checktype = external", &command, user]);
        found.into_iter().map(|(_, text)| text).collect::<String>()
    };
    let closed = |path: &std::path::Path| format!("nobody may not use {}", path.display());
    let user = "checkuser = nobody";
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let all = said(0o755, user);
    assert!(all.contains(&closed(folder.path())), "{all}");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for mode in [0o700, 0o711, 0o744] {
        assert!(said(mode, user).contains(&closed(&path)), "{mode:o}");
        assert_eq!(said(mode, "checkuser = root"), "");
    }
    assert_eq!(said(0o755, user), "");
    let found = warnings(&["real = 10.0.0.1:80 gate", user]);
    assert!(
        found
            .iter()
            .any(|(line, text)| *line == 3 && text.contains("no check runs a command")),
        "{found:?}"
    );
}

#[test]
fn an_old_word_that_is_understood_is_not_reported_at_every_start() {
    let text = "timeout = 3\nvirtual = 192.0.2.10:80\n real = 10.0.0.1:80 gate\n quorum = 5\n";
    let diagnostics = super::super::parse(text).diagnostics;
    let harmless = |line| {
        diagnostics
            .iter()
            .find(|d| d.line == line)
            .map(|d| d.harmless)
    };
    assert_eq!(harmless(1), Some(true), "{diagnostics:?}");
    assert!(
        diagnostics.iter().all(|d| d.harmless == (d.line == 1)),
        "{diagnostics:?}"
    );
}

#[test]
fn words_of_other_products_lead_to_ours() {
    let real = "real = 10.0.0.1:80 masq";
    for (line, part) in [
        ("balance roundrobin", "scheduler"),
        ("inter = 2000", "interval"),
        ("fastinter = 500", "fastinterval"),
        ("maxconn = 100", "u:NUMBER"),
        ("server = web1 10.0.0.1:80", "real = "),
        ("delay_loop = 6", "interval"),
        ("lb_kind = DR", "gate"),
        ("scheduler = roundrobin", "wrr for roundrobin"),
        ("scheduler = leastconn", "wlc for leastconn"),
        ("real = 10.0.0.2:80 masq weight=3", "masq 3"),
        ("real = 10.0.0.2:80 masq 3 inter=2000", "interval"),
    ] {
        let errors = told(&section(&[real, line]), Error);
        assert_eq!(errors.len(), 1, "{line}: {errors:?}");
        assert!(errors[0].1.contains(part), "{line}: {errors:?}");
    }
    for address in ["0.0.0.0", "*"] {
        let text = format!("virtual = {address}:80\n    {real}\n");
        let errors = told(&text, Error);
        assert!(errors[0].1.contains("firewall mark"), "{errors:?}");
    }
}

#[test]
fn a_database_whose_ondown_is_decided_is_beyond_doubt() {
    let lines = [
        "real = 10.0.0.1:3306 masq",
        "service = mysql",
        "login = \"a\"",
        "request = \"SELECT 1\"",
    ];
    for decided in ["ondown = reset", "ondown = keep"] {
        assert_eq!(warnings(&[&lines[..], &[decided]].concat()), []);
    }
    // As it is by the preset.
    let text = "preset = modern\n".to_owned() + &section(&lines);
    assert_eq!(told(&text, Warning), []);
}

#[test]
fn a_file_in_ldirectords_words_alone_leads_to_the_preset() {
    let service = "virtual = 192.0.2.10:80\n\treal = 10.0.0.1:80 gate\n\tchecktype = connect\n";
    let advice = |text: &str| super::parse(text).advice;
    let found = advice(service).expect("advice");
    for word in ["preset = modern", "ondown", "redispatch"] {
        assert!(found.contains(word), "{found}");
    }
    for line in ["preset = modern\n", "ondown = keep\n", "redispatch = no\n"] {
        assert_eq!(advice(&(line.to_owned() + service)), None, "{line}");
    }
    assert_eq!(advice(&(service.to_owned() + "\tondown = reset\n")), None);
}

#[test]
fn the_virtual_address_is_no_fallback_and_a_primary_may_be() {
    let file = |lines: &str| {
        format!(
            "virtual = 192.0.2.10:3306\n\treal = 10.0.0.1:3306 masq\n\treal = 10.0.0.2:3306 masq\n\
             \tondown = reset\n{lines}"
        )
    };
    let found = told(
        &file("\tchecktype = connect\n\tfallback = 192.0.2.10:3306\n"),
        Warning,
    );
    assert!(
        format!("{found:?}").contains("the virtual address itself"),
        "{found:?}"
    );
    // It is down as one of the readers only.
    let primary = "\tfallback = 10.0.0.1:3306 masq\n";
    let role = "\tservice = mysql\n\tlogin = \"check\"\n\trow = \"^1$\"\n";
    let query = "\trequest = \"SELECT @@global.read_only\"\n";
    assert_eq!(told(&file(&[primary, role, query].concat()), Warning), []);
    let plain = file(&[primary, "\tchecktype = connect\n"].concat());
    let found = told(&plain, Warning);
    assert!(
        format!("{found:?}").contains("cannot stand in for itself"),
        "{found:?}"
    );
    let check = "checktype=negotiate service=mysql login=\"c\" request=\"SELECT 1\" row=\"^1$\"";
    let own = plain.replace(
        "10.0.0.1:3306 masq\n\treal",
        &format!("10.0.0.1:3306 masq {check}\n\treal"),
    );
    assert_eq!(told(&own, Warning), []);
}

#[test]
fn commands_that_are_not_there_are_named() {
    let problem = |line: &str| {
        let text = format!("{line}\n{}", section(&["real = 10.0.0.1:80 gate"]));
        assert_eq!(told(&text, Error), [], "{text}");
        told(&text, Warning)
    };
    for line in [
        "callback = \"/nowhere/copy\"",
        "eventcommand = /nowhere/tell me",
        "fallbackcommand = \"/nowhere/page.sh\"",
    ] {
        let said = problem(line);
        let name = line.split(' ').next().unwrap();
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(said[0].0, 1);
        let begin = format!("{name} can never run: /nowhere/");
        assert!(said[0].1.starts_with(&begin), "{said:?}");
    }
    let text = section(&[
        "real = 10.0.0.1:80 gate",
        "quorum = 1",
        "quorum_down = /nowhere/x",
    ]);
    let said = told(&text, Warning);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].0 == 4
            && said[0]
                .1
                .starts_with("quorum_down can never run: /nowhere/x"),
        "{said:?}"
    );
    let said = problem("eventcommand = /etc/passwd");
    assert!(said[0].1.contains("cannot be executed"), "{said:?}");
    for line in [
        "callback = \"/bin/true\"",
        "eventcommand = logger -t lvs",
        "eventcommand = \"$HOME/tell\"",
        "eventcommand = /nowhere/$NAME",
        "fallbackcommand = \"/bin/sh -c true\"",
    ] {
        assert_eq!(problem(line), [], "{line}");
    }
}
