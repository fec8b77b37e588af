//! `cargo xtask install` and `uninstall`: which files go where, and which stay.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use lvs_tests::lab::{installation, programs, skipped};

#[track_caller]
fn install(destdir: &Path, options: &[&str]) -> String {
    installation::install(destdir, options).unwrap()
}

fn xtask(verb: &str, destdir: &Path, options: &[&str]) -> Output {
    installation::xtask(verb, destdir, options).unwrap()
}

fn count(said: &str, verdict: &str) -> usize {
    said.lines()
        .filter(|line| line.starts_with(verdict))
        .count()
}

#[test]
fn install_puts_each_file_where_its_users_look_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let said = install(root, &["--ipvsadm", "--ldirectord"]);
    for (path, mode) in [
        ("usr/sbin/lvsd", 0o755),
        ("usr/sbin/lvsadm", 0o755),
        ("etc/default/lvsd", 0o644),
        ("etc/init.d/lvsd", 0o755),
        ("etc/ha.d/resource.d/lvs", 0o755),
        ("etc/ha.d/resource.d/LVSSyncDaemonSwap", 0o755),
        ("usr/lib/lvs/role", 0o755),
        ("usr/lib/lvs/healthy", 0o755),
        ("usr/lib/lvs/keepalived-notify", 0o755),
        ("usr/lib/ocf/resource.d/lvs/director", 0o755),
        ("usr/share/man/man8/lvsd.8", 0o644),
        ("usr/share/man/man8/lvsadm.8", 0o644),
        ("usr/share/man/man5/ldirectord.cf.5", 0o644),
        ("usr/share/bash-completion/completions/lvsadm", 0o644),
        ("usr/share/zsh/vendor-completions/_lvsadm", 0o644),
        ("usr/share/fish/vendor_completions.d/lvsadm.fish", 0o644),
        ("lib/systemd/system/lvsd.service", 0o644),
        ("lib/systemd/system/lvsd@.service", 0o644),
        ("lib/systemd/system/lvsd-tables.service", 0o644),
        ("lib/systemd/system/lvsd-tables.socket", 0o644),
    ] {
        let found = fs::metadata(root.join(path)).unwrap_or_else(|_| panic!("{path} is missing"));
        assert_eq!(found.permissions().mode() & 0o7777, mode, "{path}");
        // It says what it does, with the path at which the file is used.
        assert!(said.contains(&format!(" /{path} ")), "{path} in {said}");
    }
    // One template makes both units.
    let unit = |name: &str| fs::read_to_string(root.join("lib/systemd/system").join(name)).unwrap();
    let (single, template) = (unit("lvsd.service"), unit("lvsd@.service"));
    assert!(
        single.contains("Description=Layer-4 director\n"),
        "{single}"
    );
    for line in [
        "Environment=LVSD_FILE=ldirectord.cf\n",
        "/usr/sbin/lvsd --foreground $LVSD_OPTIONS ${LVSD_FILE} start",
    ] {
        assert!(single.contains(line), "{single}");
    }
    assert!(
        !single.contains("%i") && template.contains("%i"),
        "{single}{template}"
    );
    for (name, program) in [
        ("usr/sbin/ipvsadm", "/usr/sbin/lvsadm"),
        ("usr/sbin/ipvsadm-save", "/usr/sbin/lvsadm"),
        ("usr/sbin/ipvsadm-restore", "/usr/sbin/lvsadm"),
        ("usr/sbin/ldirectord", "/usr/sbin/lvsd"),
        ("etc/ha.d/resource.d/ldirectord", "/usr/sbin/lvsd"),
        (
            "usr/share/man/man8/ipvsadm.8",
            "/usr/share/man/man8/lvsadm.8",
        ),
    ] {
        let target = fs::read_link(root.join(name)).unwrap();
        assert_eq!(target, Path::new(program), "{name}");
    }
    // Once more: nothing to do.
    let again = install(root, &["--ipvsadm", "--ldirectord"]);
    assert_eq!(count(&again, "unchanged"), said.lines().count(), "{again}");
}

#[test]
fn an_edited_configuration_file_survives_install_and_uninstall() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    install(root, &["--ipvsadm"]);
    let defaults = root.join("etc/default/lvsd");
    fs::write(&defaults, "LVSD_OPTIONS=\"--interface eth7\"\n").unwrap();
    // A file of the director's own is brought up to date.
    fs::write(root.join("etc/init.d/lvsd"), "old").unwrap();
    let said = install(root, &[]);
    assert_eq!(count(&said, "kept as it is"), 1, "{said}");
    assert_eq!(count(&said, "replaced"), 1, "{said}");
    assert!(fs::read_to_string(&defaults).unwrap().contains("eth7"));

    let removed = xtask("uninstall", root, &[]);
    assert!(removed.status.success(), "{removed:?}");
    let find = Command::new("find")
        .arg(root)
        .args(["!", "-type", "d"])
        .output();
    let left = String::from_utf8(find.unwrap().stdout).unwrap();
    assert_eq!(left.trim(), defaults.to_str().unwrap());
}

#[test]
fn the_installed_scripts_name_the_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    install(root, &["--prefix", "/usr/local"]);
    assert!(root.join("usr/local/sbin/lvsd").is_file());
    assert!(!root.join("usr/sbin").exists());
    for script in [
        "etc/init.d/lvsd",
        "etc/ha.d/resource.d/lvs",
        "usr/lib/ocf/resource.d/lvs/director",
        "lib/systemd/system/lvsd.service",
        "lib/systemd/system/lvsd-tables.service",
    ] {
        let text = fs::read_to_string(root.join(script)).unwrap();
        assert!(text.contains("/usr/local/sbin/lvsd"), "{script}");
        assert!(!text.contains("/usr/sbin/lvs"), "{script}");
    }
    let notify = fs::read_to_string(root.join("usr/local/lib/lvs/keepalived-notify")).unwrap();
    assert!(notify.contains("/usr/local/lib/lvs/role"));
    assert!(!notify.contains(" /usr/lib/lvs/role"));
}

#[test]
fn install_replaces_no_other_program_by_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let ipvsadm = folder.path().join("usr/sbin/ipvsadm");
    fs::create_dir_all(ipvsadm.parent().unwrap()).unwrap();
    fs::write(&ipvsadm, "the kernel's").unwrap();
    let output = xtask("install", folder.path(), &["--ipvsadm"]);
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("usr/sbin/ipvsadm"), "{complaint}");
    assert_eq!(fs::read_to_string(&ipvsadm).unwrap(), "the kernel's");
}

#[test]
fn the_man_pages_have_no_flaw_and_say_what_the_help_says() {
    if skipped(programs(&["man", "mandoc"])) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), &[]);
    let man = folder.path().join("usr/share/man");
    for (page, words) in [
        ("man8/lvsd.8", ["--peer-key", "check FILE", "SIGUSR2"]),
        (
            "man8/lvsadm.8",
            ["--tcp-service", "lvsadm drain", "--ondown"],
        ),
        (
            "man5/ldirectord.cf.5",
            ["checkcommand", "Default: ", "virtualhost"],
        ),
    ] {
        let page = man.join(page);
        let said = |command: &mut Command| {
            let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            (String::from_utf8_lossy(&output.stdout).into_owned(), error)
        };
        let (text, warnings) = said(Command::new("man").args(["--warnings", "-l"]).arg(&page));
        assert_eq!(warnings, "", "{}", page.display());
        for word in words {
            assert!(text.contains(word), "{word} in {text}");
        }
        let lint = ["-Tlint", "-Wwarning"];
        let (flaws, _) = said(Command::new("mandoc").args(lint).arg(&page));
        assert_eq!(flaws, "", "{}", page.display());
    }
}

#[test]
fn bash_completes_verbs_and_options() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), &[]);
    let scripts = folder.path().join("usr/share/bash-completion/completions");
    for (program, word, expected) in [
        ("lvsadm", "hando", "handover"),
        ("lvsadm", "--tcp-s", "--tcp-service"),
        ("lvsd", "--peer-k", "--peer-key"),
    ] {
        // As bash itself calls it: the function that the script registers for the program.
        let line = format!(
            "source {}/{program}; COMP_WORDS=({program} {word}); COMP_CWORD=1; \
             registered=$(complete -p {program}); registered=${{registered##*-F }}; \
             ${{registered%% *}} {program} {word} {program}; echo \"${{COMPREPLY[@]}}\"",
            scripts.display()
        );
        let output = Command::new("bash").args(["-c", &line]).output().unwrap();
        let completed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(completed.trim(), expected, "{output:?}");
    }
}
