//! `lvsd check` as a program.

use std::path::Path;
use std::process::{Command, Output};

fn check(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lvsd"))
        .arg("check")
        .args(arguments)
        .arg(file)
        .output()
        .unwrap()
}

#[test]
fn it_prints_complains_and_ends_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("www.cf");
    let write = |text: &str| std::fs::write(&path, text).unwrap();

    let file = "virtual = 192.0.2.10:80\n    real = 10.0.0.1:80 gate\n";
    write(&("ondown = keep\n".to_owned() + file));
    for arguments in [&[][..], &["--strict"]] {
        let output = check(arguments, &path);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let lines = "-A -t 192.0.2.10:80 -s wrr\n-a -t 192.0.2.10:80 -r 10.0.0.1:80 -g -w 1\n";
        assert_eq!(String::from_utf8_lossy(&output.stdout), lines);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }

    write(file);
    let output = check(&["--strict"], &path);
    assert_eq!(output.status.code(), Some(0), "advice is no warning");
    let advice = String::from_utf8_lossy(&output.stderr);
    assert!(advice.contains("advice: ") && advice.lines().count() == 1);

    write("timeout = 3\nvirtual = 192.0.2.10:80\n    real = 10.0.0.1:80 gate\n");
    assert_eq!(check(&[], &path).status.code(), Some(0));
    assert_eq!(check(&["--strict"], &path).status.code(), Some(2));

    write("virtual = 192.0.2.10:80\n    real = 10.0.0.1:80 gated\n    frob = 1\n");
    let output = check(&[], &path);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, []);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(complaints.lines().count(), 2, "{complaints}");
    let begin = format!("Error reading file {} at line 2: ", path.display());
    assert!(complaints.starts_with(&begin), "{complaints}");

    let output = check(&[], &folder.path().join("nowhere.cf"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn files_that_are_named_by_execute_are_validated_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("www.cf");
    let further = folder.path().join("mail.cf");
    let service = |port: u16, method: &str| {
        format!("ondown = keep\nvirtual = 192.0.2.10:{port}\n    real = 10.0.0.1:80 {method}\n")
    };
    let file = format!("execute = {}\n{}", further.display(), service(80, "masq"));
    std::fs::write(&path, file).unwrap();
    let said = |output: Output| {
        let text = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    };

    let (code, text) = said(check(&[], &path));
    let missing = format!("execute: Config file {} not found", further.display());
    assert!(
        code == 2 && text.contains("at line 1: ") && text.contains(&missing),
        "{text}"
    );

    std::fs::write(&further, service(25, "gated")).unwrap();
    let (code, text) = said(check(&[], &path));
    let begin = format!("Error reading file {} at line 3: ", further.display());
    assert!(code == 2 && text.contains(&begin), "{text}");

    std::fs::write(&further, service(80, "masq")).unwrap();
    let (code, text) = said(check(&[], &path));
    assert!(
        code == 2 && text.contains("duplicate virtual server"),
        "{text}"
    );

    // Each may name the other.
    let back = format!("execute = {}\n{}", path.display(), service(25, "masq"));
    std::fs::write(&further, back).unwrap();
    let output = check(&["--strict"], &path);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(
        lines.contains("192.0.2.10:80 ") && lines.contains("192.0.2.10:25 "),
        "{lines}"
    );
}

#[test]
fn help_that_cannot_be_written_is_an_error() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lvsd"));
    let output = command.arg("--help").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
