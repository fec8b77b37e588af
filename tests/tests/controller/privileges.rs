//! The users and privileges of commands, and what they leave behind.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use lvs_tests::eventually;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use crate::health_lab::{HealthLab, PATIENCE, QUICK, reals, virtual_service};

/// Shell commands that write the user and the privileges of their process to a file.
fn writes_privileges(file: &Path) -> String {
    format!(
        "{{ echo Uid: $(id -u) $(id -g); grep -E '^(Groups|CapEff|CapPrm|NoNewPrivs|Seccomp):' \
         /proc/self/status; }} > {0}.new && mv {0}.new {0}",
        file.display()
    )
}

/// The lines `KEY: VALUE` of a file, as soon as it is there.
#[track_caller]
fn read(file: &Path) -> BTreeMap<String, String> {
    assert!(
        eventually(PATIENCE, || file.exists()),
        "{} is not written",
        file.display()
    );
    let text = fs::read_to_string(file).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A folder where everybody may write.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

#[test]
fn checks_have_no_privileges_and_commands_have_roots() {
    let folder = folder();
    let file = |name: &str| folder.path().join(name);
    for name in ["usual", "root"] {
        script(
            &file(&format!("check-{name}")),
            &writes_privileges(&file(name)),
        );
    }
    let check = |name: &str| {
        let command = file(&format!("check-{name}"));
        format!("check = external checkcommand={}", command.display())
    };
    script(&file("event"), &writes_privileges(&file("command")));
    let globals = format!(
        "checktimeout = 10s\neventcommand = {}\n",
        file("event").display()
    );
    let lines = format!(
        "{}{}\n{} checkuser=root\n",
        reals(&[1]),
        check("usual"),
        check("root")
    );
    let Some(health) = HealthLab::of(&(globals + &virtual_service(&lines))) else {
        return;
    };
    assert_eq!(health.table(), "1=5");

    let nobody = User::from_name("nobody").unwrap().unwrap();
    let usual = read(&file("usual"));
    assert_eq!(usual["Uid"], format!("{} {}", nobody.uid, nobody.gid));
    assert_eq!(usual["Groups"], "");
    for capabilities in ["CapEff", "CapPrm"] {
        assert_eq!(usual[capabilities].trim_start_matches('0'), "", "{usual:?}");
    }
    assert_eq!((&*usual["NoNewPrivs"], &*usual["Seccomp"]), ("1", "2"));

    // Those that act on the system may do all that whoever started lvsd may do, this test.
    let own = read(Path::new("/proc/self/status"));
    for name in ["root", "command"] {
        let found = read(&file(name));
        assert_eq!(found["Uid"], "0 0", "{name}");
        assert_eq!(found["CapEff"], own["CapEff"], "{name}");
        assert_eq!(found["Seccomp"], own["Seccomp"], "{name}");
    }

    let pid = health.status().pid;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let thread = thread.unwrap().path();
        let Ok(status) = fs::read_to_string(thread.join("status")) else {
            continue;
        };
        let has = |line: &str| status.lines().any(|found| found == line);
        assert!(has("NoNewPrivs:\t1"), "{status}");
        assert!(has("Name:\tcommands") != has("Seccomp:\t2"), "{status}");
    }
}

#[test]
fn a_user_who_does_not_exist_is_refused() {
    let lines = format!("{}check = external checkcommand=/bin/true\n", reals(&[1]));
    let Some(health) = HealthLab::of_none(&(QUICK.to_owned() + &virtual_service(&lines))) else {
        return;
    };
    let file = health.lab.folder().join("ldirectord.cf");
    let file = file.to_string_lossy();
    let started = |options: &[&str]| {
        let options = [&["--config", &file], options].concat();
        let started = health.lab.director.start_with(&options);
        started.map_err(|error| format!("{error:#}"))
    };
    let error = started(&["--check-user", "no-such-user"]).unwrap_err();
    assert!(error.contains("no user \"no-such-user\""), "{error}");
    assert!(error.contains("checkuser"), "{error}");
    health.write(
        &(QUICK.to_owned() + "checkuser = nobody:no-such-group\n" + &virtual_service(&lines)),
    );
    let error = started(&[]).unwrap_err();
    assert!(error.contains("no group \"no-such-group\""), "{error}");
    health.write(&(QUICK.to_owned() + &virtual_service(&lines)));
    started(&["--check-user", "root"]).unwrap();
    // A file that becomes wrong changes nothing.
    health.write(&(QUICK.to_owned() + "checkuser = no-such-user\n" + &virtual_service(&lines)));
    let error = health.reload().unwrap_err();
    assert!(error.contains("no user \"no-such-user\""), "{error}");
    assert_eq!(health.table(), "1=5");
}

#[test]
fn checks_that_time_out_leave_no_zombies() {
    // Orphans that the daemon does not adopt become children of this process, which does not collect them.
    set_child_subreaper(true).unwrap();
    let folder = folder();
    let file = |name: &str| folder.path().join(name);
    let orphan = format!("orphan-{}", std::process::id());
    fs::copy("/bin/sleep", file(&orphan)).unwrap();
    script(
        &file("check"),
        &format!(
            "setsid {0} 0.3 &\n{0} 60 &\necho run >> {1}\nwait\n",
            file(&orphan).display(),
            file("runs").display()
        ),
    );
    let rhythm = "checktimeout = 100ms\ninterval = 10ms\ndowninterval = 10ms\n";
    let external = format!(
        "check = external checkcommand={}\n",
        file("check").display()
    );
    let checks = rhythm.to_owned() + &virtual_service(&(reals(&[1, 2, 3]) + &external));
    let Some(health) = HealthLab::of(&checks) else {
        return;
    };
    let runs = || {
        fs::read_to_string(file("runs"))
            .unwrap_or_default()
            .lines()
            .count()
    };
    assert!(eventually(PATIENCE, || runs() >= 100), "{} runs", runs());
    health.write(&(QUICK.to_owned() + &virtual_service(&reals(&[1, 2, 3]))));
    health.reload().unwrap();
    health.becomes("1=5 2=5 3=5");
    let left = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let stats =
            processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
        stats
            .filter(|stat| stat.contains(&orphan))
            .collect::<Vec<_>>()
    };
    assert!(eventually(PATIENCE, || left().is_empty()), "{:?}", left());
    let children = || {
        let threads = fs::read_dir(format!("/proc/{}/task", health.status().pid)).unwrap();
        let lists = threads
            .flatten()
            .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        lists.collect::<String>()
    };
    assert!(
        eventually(PATIENCE, || children().is_empty()),
        "{}",
        children()
    );
}

#[test]
fn nothing_of_a_check_lasts_and_what_a_command_for_the_system_starts_does() {
    let folder = folder();
    let file = |name: &str| folder.path().join(name);
    // In its own group, in another one, and as a daemon does it.
    let leaves = |name: &str| {
        let list = file(name);
        let list = list.display();
        format!(
            "sleep 601 & echo $! >> {list}\nsetsid sleep 602 & echo $! >> {list}\n\
             (setsid sh -c 'echo $$ >> {list}; sleep 603; :' &)\n"
        )
    };
    let some = format!(
        "[ $(cat {} | wc -l) -lt 30 ] || exit 0\n",
        file("checks").display()
    );
    script(&file("check"), &(some + &leaves("checks")));
    script(&file("event"), &leaves("systems"));
    fs::write(file("checks"), "").unwrap();
    fs::set_permissions(file("checks"), fs::Permissions::from_mode(0o666)).unwrap();
    let globals = format!(
        "checktimeout = 10s\ninterval = 100ms\neventcommand = {}\n",
        file("event").display()
    );
    let check = format!("check = external checkcommand={}", file("check").display());
    let Some(health) = HealthLab::of(&(globals + &virtual_service(&(reals(&[1]) + &check)))) else {
        return;
    };
    health.becomes("1=5");
    let ids = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(file(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let running = |name: &str| {
        let mut ids = ids(name);
        ids.retain(|id| Path::new(&format!("/proc/{id}")).exists());
        ids
    };
    assert!(eventually(PATIENCE, || ids("systems").len() >= 3));
    assert!(eventually(PATIENCE, || ids("checks").len() >= 30));
    assert!(
        eventually(PATIENCE, || running("checks").is_empty()),
        "{:?}",
        running("checks")
    );
    // The last ones end with the daemon.
    fs::write(file("checks"), "").unwrap();
    assert!(eventually(PATIENCE, || ids("checks").len() >= 9));
    health.lab.director.stop().unwrap();
    // Whoever adopts them now may take a moment to notice that.
    let ended = eventually(Duration::from_secs(2), || running("checks").is_empty());
    assert!(ended, "{:?}", running("checks"));
    let kept = running("systems");
    assert_eq!(kept, ids("systems"));
    for id in kept {
        kill(Pid::from_raw(id.parse().unwrap()), Signal::SIGKILL).unwrap();
    }
}
