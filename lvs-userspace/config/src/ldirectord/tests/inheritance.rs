//! Tests of inheritance between scopes, and of defaults.

use std::time::Duration;

use lvs_health::model::{Rhythm, Virtual};

use super::{only, server};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Timeouts of a connect check and of a negotiation, with these globals and lines below the service.
fn timeouts(globals: &str, lines: &str) -> (Duration, Duration) {
    let text = format!(
        "{globals}\nvirtual = 192.0.2.10:80\n real = 10.0.0.1:80 gate\n check = connect\n check = negotiate\n{lines}\n"
    );
    let checks = &only(&text).servers[0].checks;
    (checks[0].timeout, checks[1].timeout)
}

#[test]
fn timeouts_stand_in_for_each_other() {
    for (globals, lines, expected) in [
        ("", "", (s(5), s(30))),
        ("checktimeout = 3", "", (s(3), s(3))),
        ("negotiatetimeout = 4", "", (s(4), s(4))),
        ("checktimeout = 3\nnegotiatetimeout = 4", "", (s(3), s(4))),
        ("checktimeout = 3", " negotiatetimeout = 7", (s(7), s(7))),
        ("negotiatetimeout = 3", " checktimeout = 7", (s(7), s(7))),
        (
            "checktimeout = 3",
            " checktimeout = 1\n negotiatetimeout = 2",
            (s(1), s(2)),
        ),
        ("timeout = 9", "", (s(9), s(9))),
        (
            "checktimeout = 250ms",
            "",
            (Duration::from_millis(250), Duration::from_millis(250)),
        ),
        (
            "checktimeout = 1.5",
            "",
            (Duration::from_millis(1500), Duration::from_millis(1500)),
        ),
    ] {
        assert_eq!(timeouts(globals, lines), expected, "{globals} {lines}");
    }
}

#[test]
fn short_checks_keep_their_time_also_where_they_negotiate() {
    for service in ["ldap", "ldaps", "radius"] {
        let line = format!("service = {service}");
        let server = server(&[
            "real = 10.0.0.1:80 gate",
            &line,
            "checktimeout = 2",
            "negotiatetimeout = 9",
        ]);
        assert_eq!(server.checks[0].timeout, s(2), "{service}");
    }
}

#[test]
fn each_echo_request_of_a_ping_has_the_time_of_a_check() {
    let server = server(&[
        "real = 10.0.0.1:80 gate",
        "checktype = ping",
        "checkcount = 3",
        "checktimeout = 2",
    ]);
    let check = &server.checks[0];
    assert_eq!((check.connect_timeout, check.timeout), (s(2), s(6)));
}

fn rhythm(globals: &str, lines: &str) -> Rhythm {
    let text = format!("{globals}\nvirtual = 192.0.2.10:80\n real = 10.0.0.1:80 gate\n{lines}\n");
    only(&text).servers[0].rhythm
}

#[test]
fn intervals_follow_each_other() {
    let plain = rhythm("checkinterval = 3", "");
    assert_eq!((plain.interval, plain.fast, plain.down), (s(3), s(3), s(3)));
    assert_eq!(rhythm("", " interval = 2").interval, s(2));
    assert_eq!(rhythm("interval = 4", " fastinterval = 1").interval, s(4));
    assert_eq!(rhythm("interval = 4", " fastinterval = 1").fast, s(1));
    assert_eq!(rhythm("downinterval = 8", "").down, s(8));
    assert_eq!(rhythm("jitter = 10", "").jitter, 10);
}

#[test]
fn checkinterval_below_a_service_needs_fork() {
    assert_eq!(
        rhythm("checkinterval = 3", " checkinterval = 1").interval,
        s(3)
    );
    assert_eq!(rhythm("fork = yes", " checkinterval = 1").interval, s(1));
}

#[test]
fn fall_is_failurecount() {
    assert_eq!(rhythm("failurecount = 3", "").fall, 3);
    assert_eq!(rhythm("failurecount = 3", " fall = 2").fall, 2);
    assert_eq!(rhythm("", " rise = 2").rise, 2);
}

#[test]
fn globals_hold_below_unless_something_else_is_said() {
    let text = "\
quiescent = yes
cleanstop = no
fallback = 127.0.0.1:8080
fallback6 = [::1]
emailalert = a@example.com
virtual = 192.0.2.10:80
    real = 10.0.0.1:80 gate
virtual = 192.0.2.11:80
    real = 10.0.0.1:80 gate
    quiescent = no
    cleanstop = yes
    fallback =
    emailalert = b@example.com
virtual6 = [2001:db8::10]:81
    real6 = [2001:db8::1]:81 gate
virtual = 9
    real = 10.0.0.1:81 gate
";
    let virtuals = super::configuration(text).virtuals;
    let [first, second, third, mark] = virtuals.as_slice() else {
        panic!("{virtuals:?}");
    };
    assert!(first.quiescent && !first.clean_stop && !second.quiescent && second.clean_stop);
    // gate cannot change the port.
    assert_eq!(first.fallbacks[0].id.0.to_string(), "127.0.0.1:80");
    assert!(second.fallbacks.is_empty());
    assert_eq!(third.fallbacks[0].id.0.to_string(), "[::1]:81");
    assert_eq!(mark.fallbacks[0].id.0.to_string(), "127.0.0.1:8080");
    assert_eq!(second.alerts.to, ["b@example.com"]);
}

#[test]
fn what_is_said_last_holds() {
    assert_eq!(
        rhythm("checkinterval = 3\ncheckinterval = 4", "").interval,
        s(4)
    );
}

#[test]
fn source_addresses_are_those_of_the_innermost_scope_and_for_nat_only() {
    let text = "snat = auto
fallback = 10.0.0.9:80 masq
virtual = 192.0.2.10:80
    real = 10.0.0.1:80 masq
    real = 10.0.0.2:80 masq 1 snat=no
    real = 10.0.0.3:80 masq snat=10.0.0.254:2000-2999
    real = 10.0.0.4:80 gate
virtual = 192.0.2.11:80
    snat = 10.0.0.251-10.0.0.254
    real = 10.0.0.1:80 masq
";
    let configuration = super::configuration(text);
    let sources = |service: &Virtual| {
        let fallbacks = service.fallbacks.iter().map(|fallback| fallback.settings);
        let servers = service.servers.iter().map(|server| server.settings);
        let all = servers.chain(fallbacks);
        all.map(|settings| {
            settings
                .snat
                .map_or("no".to_owned(), |snat| snat.to_string())
        })
        .collect::<Vec<_>>()
    };
    let all: Vec<_> = configuration.virtuals.iter().map(sources).collect();
    assert_eq!(
        all,
        [
            vec!["auto", "no", "10.0.0.254:2000-2999", "no", "auto"],
            vec!["10.0.0.251-10.0.0.254", "10.0.0.251-10.0.0.254"],
        ]
    );
    for (line, problem) in [
        (
            "real = 10.0.0.1:80 gate snat=auto",
            "only NAT changes the source address",
        ),
        ("real = 10.0.0.1:80 masq snat=fd00::1", "address family"),
        (
            "real = 10.0.0.1:80 masq snat=10.0.0.9-10.0.0.1",
            "the lowest one first",
        ),
    ] {
        let text = format!("virtual = 192.0.2.10:80\n    {line}\n");
        let errors = super::told(&text, super::Severity::Error);
        assert!(
            errors.iter().any(|(_, error)| error.contains(problem)),
            "{line}: {errors:?}"
        );
    }
}

/// The rhythm of the first server.
fn rhythm_of(text: &str) -> Rhythm {
    let reading = super::parse(text);
    let configuration = reading.configuration.expect("it is right");
    configuration.virtuals[0].servers[0].rhythm
}

#[test]
fn words_of_the_file_win_over_a_preset_wherever_they_stand() {
    let service = |lines: &str| {
        format!(
            "virtual = 192.0.2.10:80\n\treal = 10.0.0.1:80 gate\n\tchecktype = connect\n{lines}"
        )
    };
    for (before, lines, after) in [
        ("preset = modern\n", "\tfailurecount = 5\n", ""),
        ("failurecount = 5\npreset = modern\n", "", ""),
        ("", "\tfailurecount = 5\n", "preset = modern\n"),
        ("preset = modern\n", "\tfall = 5\n", ""),
    ] {
        let found = rhythm_of(&(before.to_owned() + &service(lines) + after));
        assert_eq!(found.fall, 5, "{before}{lines}{after}");
    }
    let millis = |text: &str| {
        let found = rhythm_of(text);
        (found.interval.as_millis(), found.fast.as_millis())
    };
    let preset = "preset = modern\n".to_owned();
    assert_eq!(millis(&(preset.clone() + &service(""))), (400, 100));
    let quick = preset.clone() + &service("\tinterval = 50ms\n");
    assert_eq!(millis(&quick), (50, 50), "a preset slows nobody down");
    let slow = preset.clone() + "fork = yes\n" + &service("\tcheckinterval = 7\n");
    assert_eq!(millis(&slow), (7000, 100));
    let command = "\tchecktype = external\n\tcheckcommand = /bin/true\n";
    assert_eq!(millis(&(preset.clone() + &service(command))), (2000, 500));
    let quick = command.to_owned() + "\tinterval = 400ms\n";
    assert_eq!(millis(&(preset.clone() + &service(&quick))), (400, 400));
    let timeout = preset + &service("\tnegotiatetimeout = 9\n");
    let reading = super::parse(&timeout);
    let check = &reading.configuration.unwrap().virtuals[0].servers[0].checks[0];
    assert_eq!(check.timeout.as_secs(), 9);
}

#[test]
fn a_preset_waits_for_an_answer_as_long_and_as_often_as_the_file_says() {
    let hang = |lines: &str, real: &str| {
        let section = format!("virtual = 192.0.2.10:80\n\treal = 10.0.0.1:80 gate{real}\n{lines}");
        let found = rhythm_of(&("preset = modern\n".to_owned() + &section)).hang;
        found.map(|time| time.as_millis())
    };
    assert_eq!(hang("", ""), Some(250));
    for line in [
        "\tnegotiatetimeout = 2\n",
        "\tchecktimeout = 2\n",
        "\ttimeoutresponse = 2\n",
        "\thangtimeout = 0\n",
        "\tfall = 3\n",
        "\tfailurecount = 3\n",
        "\tcheck = negotiate service=http timeoutresponse=2s\n",
    ] {
        assert_eq!(hang(line, ""), None, "{line}");
    }
    assert_eq!(hang("", " negotiatetimeout=2"), None);
    for line in ["negotiatetimeout = 2", "fall = 3"] {
        let both = format!("\t{line}\n\thangtimeout = 300ms\n");
        assert_eq!(hang(&both, ""), Some(300));
    }
}
