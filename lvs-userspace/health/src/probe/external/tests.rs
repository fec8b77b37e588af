use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::check::{Check, Kind};
use crate::outcome::Outcome;
use crate::prober::Prober;
use crate::testing::{assert_says, check};

fn script(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("check");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn external(command: PathBuf) -> External {
    External {
        command,
        perl: false,
        virtual_address: "192.0.2.1".to_owned(),
        virtual_port: 80,
        server_address: "10.0.0.2".parse().unwrap(),
        server_port: 8080,
        max_connections: 100,
        protocol: Protocol::Tcp,
        service_name: "www".to_owned(),
        server_name: "web2".to_owned(),
        weighs: false,
    }
}

async fn run(external: External) -> Outcome {
    let check = check(Kind::External(external), "10.0.0.2:8080".parse().unwrap());
    Prober::default().run(&check).await
}

async fn says(text: &str) -> Outcome {
    let folder = TempDir::new().unwrap();
    run(external(script(&folder, text))).await
}

#[tokio::test]
async fn a_script_without_an_interpreter_is_run_by_the_shell() {
    let outcome = says("test \"$3:$4\" = 10.0.0.2:8080 && echo yes && exit 0\nexit 7\n").await;
    assert!(outcome.good, "{}", outcome.text);
    let outcome = says("exit 7\n").await;
    assert_says(
        &outcome,
        false,
        "exit code 7 for 10.0.0.2:8080 after N ms, expected 0",
    );
}

#[tokio::test]
async fn exit_code_0_is_good_and_any_other_is_not() {
    let outcome = says("#!/bin/sh\necho fine\n").await;
    assert_says(
        &outcome,
        true,
        "exit code 0 (\"fine\") for 10.0.0.2:8080 after N ms",
    );
    assert_eq!(outcome.exit_code, Some(0));

    let outcome = says("#!/bin/sh\necho one; echo two >&2; echo; exit 3\n").await;
    let text = "exit code 3 (\"two\") for 10.0.0.2:8080 after N ms, expected 0";
    assert_says(&outcome, false, text);
    assert_eq!(outcome.exit_code, Some(3));
}

#[tokio::test]
async fn exit_codes_that_weigh_are_good() {
    for (code, good) in [(0, true), (1, false), (2, true), (255, true)] {
        let folder = TempDir::new().unwrap();
        let command = script(&folder, &format!("#!/bin/sh\nexit {code}\n"));
        let weighing = External {
            weighs: true,
            ..external(command)
        };
        let outcome = run(weighing).await;
        assert_eq!((outcome.good, outcome.exit_code), (good, Some(code)));
    }
}

#[tokio::test]
async fn arguments_and_environment_are_those_of_ldirectord_and_haproxy() {
    let outcome = says(
        "#!/bin/sh\n\
         test \"$#/$*\" = '4/192.0.2.1 80 10.0.0.2 8080' || exit 1\n\
         test \"$HAPROXY_PROXY_ADDR:$HAPROXY_PROXY_PORT\" = 192.0.2.1:80 || exit 2\n\
         test \"$HAPROXY_SERVER_ADDR:$HAPROXY_SERVER_PORT\" = 10.0.0.2:8080 || exit 3\n\
         test \"$HAPROXY_PROXY_NAME/$HAPROXY_SERVER_NAME\" = www/web2 || exit 4\n\
         test \"$HAPROXY_SERVER_PROTO$HAPROXY_SERVER_SSL\" = tcp0 || exit 5\n\
         test -n \"$PATH\" || exit 6\n\
         test \"$HAPROXY_SERVER_MAXCONN\" = 100 || exit 7\n\
         cat\n",
    )
    .await;
    assert!(outcome.good, "{}", outcome.text);
}

#[tokio::test]
async fn a_perl_script_need_not_be_executable() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("check.pl");
    fs::write(&path, "print \"@ARGV\\n\"; exit 0;\n").unwrap();
    let perl = External {
        perl: true,
        ..external(path)
    };
    let outcome = run(perl).await;
    let text = "exit code 0 (\"192.0.2.1 80 10.0.0.2 8080\") for 10.0.0.2:8080 after N ms";
    assert_says(&outcome, true, text);
}

#[tokio::test]
async fn a_command_that_cannot_be_run_is_told() {
    let outcome = run(external("/nonexistent/check".into())).await;
    let text = "10.0.0.2:8080 not probed: cannot run /nonexistent/check: no such file or directory";
    assert_says(&outcome, false, text);
}

#[tokio::test]
async fn a_command_that_is_killed_is_bad() {
    let outcome = says("#!/bin/sh\nkill -9 $$\n").await;
    let text = "no exit code for 10.0.0.2:8080 after N ms: signal: 9 (SIGKILL)";
    assert_says(&outcome, false, text);
    assert_eq!(outcome.exit_code, None);
}

#[tokio::test]
async fn of_endless_output_the_last_line_is_kept() {
    let outcome = says("#!/bin/sh\nyes | head -c 10000000\necho last\nexit 1\n").await;
    let text = "exit code 1 (\"last\") for 10.0.0.2:8080 after N ms, expected 0";
    assert_says(&outcome, false, text);
}

#[tokio::test]
async fn what_the_command_leaves_behind_is_not_waited_for_but_ended() {
    let begin = Instant::now();
    let outcome = says("#!/bin/sh\nsleep 600 &\necho $!\n").await;
    assert!(outcome.good, "{}", outcome.text);
    assert!(begin.elapsed() < Duration::from_mins(5));
    let id = outcome.text.split('"').nth(1).unwrap().parse().unwrap();
    while alive(id) {
        assert!(begin.elapsed() < Duration::from_mins(5), "{id} lives");
        pause().await;
    }
}

/// Runs a script that writes its own process id and its child's to a file, until both are there;
/// then the probe is over, one way or the other.
async fn leaves_nothing(text: &str, dropped: bool) {
    let folder = TempDir::new().unwrap();
    let ids = folder.path().join("ids");
    let command = script(&folder, &text.replace("IDS", &ids.display().to_string()));
    let kind = Kind::External(external(command));
    let endless = check(kind, "10.0.0.2:8080".parse().unwrap());
    if dropped {
        let prober = Prober::default();
        tokio::select! {
            outcome = prober.run(&endless) => panic!("{}", outcome.text),
            () = async { while read_ids(&ids).len() < 2 { pause().await } } => {}
        }
    } else {
        // A busy machine may need more time to get as far as the file.
        for ms in [300, 3_000, 30_000] {
            let timeout = Duration::from_millis(ms);
            let limited = Check {
                timeout,
                ..endless.clone()
            };
            let outcome = Prober::default().run(&limited).await;
            let text = format!("no exit code for 10.0.0.2:8080 in {ms} ms");
            assert_says(&outcome, false, &text);
            if read_ids(&ids).len() == 2 {
                break;
            }
        }
    }
    let ids = read_ids(&ids);
    assert_eq!(ids.len(), 2);
    let begin = Instant::now();
    for id in ids {
        while alive(id) {
            assert!(begin.elapsed() < Duration::from_mins(1), "{id} lives");
            pause().await;
        }
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

fn read_ids(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.strip_suffix('\n').unwrap_or_default();
    whole.split(' ').filter_map(|id| id.parse().ok()).collect()
}

/// Neither gone nor a zombie that its parent has not asked for.
fn alive(id: u32) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| {
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| !rest.starts_with('Z'))
    })
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended_with_its_children() {
    leaves_nothing("#!/bin/sh\nsleep 600 &\necho $$ $! > IDS\nwait\n", false).await;
}

#[tokio::test]
async fn a_command_that_does_not_want_to_end_is_killed() {
    let text =
        "#!/bin/sh\ntrap '' TERM\nsleep 600 &\necho $$ $! > IDS\nwhile :; do sleep 1; done\n";
    leaves_nothing(text, false).await;
}

#[tokio::test]
async fn a_probe_that_is_dropped_ends_its_command() {
    leaves_nothing("#!/bin/sh\nsleep 600 &\necho $$ $! > IDS\nwait\n", true).await;
}
