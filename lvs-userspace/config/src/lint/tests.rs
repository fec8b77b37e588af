use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use nix::unistd::{Uid, User};

use super::*;

/// Exit code, output and problems of a text.
fn check(text: &str, strict: bool) -> (u8, String, String) {
    check_with(
        text,
        Options {
            strict,
            ..Options::default()
        },
    )
}

fn check_with(text: &str, options: Options<'_>) -> (u8, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("www.cf");
    std::fs::write(&path, text).unwrap();
    let (mut out, mut problems) = (Vec::new(), Vec::new());
    let code = run(
        &path,
        options,
        &|_| Default::default(),
        &mut out,
        &mut problems,
    )
    .unwrap();
    let problems = String::from_utf8(problems).unwrap();
    let problems = problems.replace(path.to_str().unwrap(), "www.cf");
    (code, String::from_utf8(out).unwrap(), problems)
}

#[test]
fn a_right_file_is_printed_as_lines_of_ipvsadm() {
    let text = "\
checkinterval = 5
virtual = 192.0.2.10:80
    real = 10.0.0.1->10.0.0.2:80 gate 5 l:10 u:20
    real = 10.0.0.9:80 gate backup=yes
    fallback = 127.0.0.1:80
    persistent = 600
    netmask = 255.255.255.0
virtual6 = [2001:db8::1]:53
    real6 = [2001:db8:0:1::2]:53 masq
    scheduler = rr
    service = dns
    request = \"example.com\"
virtual = 192.0.2.10:81
    real = 10.0.0.9:81 ipip 3 backup=yes
    real = 10.0.0.8:81 gate backup=yes
    checktype = connect
virtual = 192.0.2.10:82
    real = 10.0.0.9:82 ipip 3
    fallback = 127.0.0.1:8082 masq
    checktype = off
";
    let (code, out, _) = check(text, false);
    assert_eq!(
        out,
        "\
-A -t 192.0.2.10:80 -s wrr -p 600 -M 255.255.255.0
-a -t 192.0.2.10:80 -r 10.0.0.1:80 -g -w 5 -x 20 -y 10
-a -t 192.0.2.10:80 -r 10.0.0.2:80 -g -w 5 -x 20 -y 10
-A -u [2001:db8::1]:53 -s rr
-a -u [2001:db8::1]:53 -r [2001:db8:0:1::2]:53 -m -w 1
-A -t 192.0.2.10:81 -s wrr
-a -t 192.0.2.10:81 -r 10.0.0.9:81 -i -w 3 --tun-type ipip
-A -t 192.0.2.10:82 -s wrr
-a -t 192.0.2.10:82 -r 127.0.0.1:8082 -m -w 1
"
    );
    assert_eq!(code, 0);
    // The output is a valid file.
    assert_eq!(check(&out, true), (0, out.clone(), String::new()));
}

#[test]
fn all_errors_are_reported_at_once() {
    let (code, out, problems) = check("frob = 1\nquiescent = maybe\n    real = x\n", false);
    assert_eq!((code, out.as_str()), (WRONG, ""));
    let lines: Vec<_> = problems.lines().collect();
    assert_eq!(lines.len(), 3, "{problems}");
    assert_eq!(
        lines[0],
        "Error reading file www.cf at line 1: unknown command \"frob\" (is fork meant?)"
    );
    assert_eq!(
        lines[1],
        "Error reading file www.cf at line 2: quiescent must be 'yes' or 'no', not \"maybe\""
    );
    assert!(lines[2].contains("at line 3"), "{problems}");
}

#[test]
fn bytes_that_are_no_text_reach_no_terminal() {
    for text in ["\u{1b}[31mfrob = 1\n", "\0\0\n", "frob\u{7}\n"] {
        let (code, _, problems) = check(text, false);
        assert_eq!(code, WRONG);
        let mut seen = problems.chars();
        assert!(seen.all(|c| c == '\n' || !c.is_control()), "{problems:?}");
    }
}

#[test]
fn strictly_a_warning_is_an_error() {
    let text = "timeout = 3\nondown = keep\nvirtual = 192.0.2.10:80\n real = 10.0.0.1:80 gate\n";
    let (code, out, problems) = check(text, false);
    assert_eq!(code, 0);
    assert_eq!(
        problems,
        "Warning reading file www.cf at line 1: timeout is an old word (the word is checktimeout now, and it \
         is taken for that)\n"
    );
    assert_eq!(check(text, true), (WRONG, out, problems));
}

#[test]
fn a_missing_file_is_reported() {
    let (mut out, mut problems) = (Vec::new(), Vec::new());
    let code = run(
        Path::new("/nowhere"),
        Options::default(),
        &|_| Default::default(),
        &mut out,
        &mut problems,
    )
    .unwrap();
    assert_eq!(code, UNREADABLE);
    assert!(!problems.is_empty());
}

#[test]
fn advice_is_no_warning() {
    let text = "virtual = 192.0.2.10:80\n real = 10.0.0.1:80 gate\n";
    let (code, _, problems) = check(text, true);
    assert_eq!(code, 0);
    assert!(
        problems.contains("advice:") && problems.contains("preset = modern"),
        "{problems}"
    );
}

#[test]
fn nat_to_a_server_in_the_network_of_its_virtual_address_gets_advice() {
    let advice = |text: &str| {
        let (code, _, problems) = check(text, true);
        assert_eq!(code, 0, "{problems}");
        problems.contains("same network")
    };
    let file = |lines: &str| format!("ondown = keep\nvirtual = 192.0.2.10:80\n{lines}");
    let far = " real = 10.0.0.1:80 masq\n";
    assert!(advice(&file(" real = 192.0.2.20:80 masq\n")));
    assert!(advice(&file(
        &(far.to_owned() + " fallback = 192.0.2.20:80 masq\n")
    )));
    for lines in [
        far,
        " real = 192.0.2.20:80 gate\n",
        " real = 192.0.2.20:80 ipip\n",
        " real = 192.0.2.20:80 masq\n snat = auto\n",
    ] {
        assert!(!advice(&file(lines)), "{lines}");
    }
    let rules = "-A -t [2001:db8::1]:80 -s rr\n-a -t [2001:db8::1]:80 -r [2001:db8::2]:80 ";
    assert!(advice(&format!("{rules}-m\n")));
    assert!(!advice(&format!("{rules}-g\n")));
    let mark = "-A -f 1 -s rr\n-a -f 1 -r 192.0.2.20:80 -m\n";
    assert!(!advice(mark));
    let (_, _, problems) = check(&file(" real = 192.0.2.20->192.0.2.22:80 masq\n"), false);
    assert!(problems.contains("192.0.2.20:80 and 2 more"), "{problems}");
}

#[test]
fn a_command_is_tried_as_the_user_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("check");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o700)).unwrap();
    let text = |more: &str| {
        let script = script.display();
        format!(
            "virtual = 192.0.2.10:80\n real = 10.0.0.1:80 gate\n checktype = external\n \
             checkcommand = {script}\n{more}"
        )
    };
    let me = User::from_uid(Uid::effective()).unwrap().unwrap().name;
    let as_user = |text: &str, check_user| {
        let strict = true;
        check_with(text, Options { strict, check_user }).0
    };
    assert_eq!(as_user(&text(""), None), WRONG);
    assert_eq!(as_user(&text(""), Some(&me)), 0);
    // The file has the last word.
    let nobody = text(" checkuser = nobody\n");
    assert_eq!(as_user(&nobody, Some(&me)), WRONG);
}
