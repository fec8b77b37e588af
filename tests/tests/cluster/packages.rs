//! The Debian packages on a machine: installed, upgraded under traffic, removed without remains.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use lvs_tests::eventually;
use lvs_tests::lab::{Machine, Site, installation, programs, skipped};

use crate::site::{FILE, says};

const PACKAGES: [&str; 3] = ["lvs", "lvs-ipvsadm", "lvs-ldirectord"];

/// Programs of the machine that packages need.
const NEEDED: [&str; 7] = [
    "ip",
    "ethtool",
    "nginx",
    "curl",
    "dpkg-deb",
    "strip",
    "update-rc.d",
];

/// Each file of a folder with its content.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    found.sort();
    found
}

fn is_deb(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "deb")
}

#[test]
fn two_packagings_make_the_same_packages_and_lintian_finds_no_error() {
    if skipped(programs(&["dpkg-deb", "strip", "lintian"])) {
        return;
    }
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&first, &second] {
        installation::debian_packages(folder.path(), "0.2.0").unwrap();
    }
    assert!(contents(first.path()) == contents(second.path()));
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning"]);
    let debs = contents(first.path());
    let debs = debs.iter().filter(|(name, _)| is_deb(name));
    let output = lintian
        .args(debs.map(|(name, _)| first.path().join(name)))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Every path that a machine has, but for what dpkg and its programs note for themselves.
fn paths(machine: &Machine) -> BTreeSet<String> {
    let listed = machine
        .does("find /etc /usr /var /run /sys/fs/bpf")
        .unwrap();
    let notes = [
        "/var/lib/dpkg",
        "/var/log",
        "/var/cache",
        "/var/lib/systemd/deb-systemd",
        // Copies that groupadd makes; the group stays, as files may belong to it.
        "/etc/group-",
        "/etc/gshadow-",
        "/etc/.pwd.lock",
    ];
    let is_noted = |path: &&str| notes.iter().any(|note| path.starts_with(note));
    let kept = listed.lines().filter(|path| !is_noted(path));
    kept.map(str::to_owned).collect()
}

#[test]
fn an_upgrade_under_traffic_loses_no_request_and_a_purge_leaves_nothing() {
    if skipped(programs(&NEEDED)) {
        return;
    }
    // Packages of other programs' names stay out of the way: the machine is a copy of this one.
    let installed = tempfile::tempdir().unwrap();
    for version in ["0.2.0", "0.2.1"] {
        let folder = installed.path().join("var/packages").join(version);
        fs::create_dir_all(&folder).unwrap();
        installation::debian_packages(&folder, version).unwrap();
    }
    let site = Site::new(&["10.0.0"], installed.path()).unwrap_or_else(|error| panic!("{error:#}"));
    site.boot("lvs1").unwrap();
    let lvs1 = site.director("lvs1");
    // Nothing may hinder the init script; what this machine has of others goes first.
    lvs1.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755)
        .unwrap();
    lvs1.run("dpkg --purge ipvsadm ldirectord").unwrap();
    let before = paths(lvs1);

    lvs1.does("dpkg --install /var/packages/0.2.0/*.deb")
        .unwrap();
    lvs1.does("getent group lvs").unwrap();
    assert!(
        lvs1.does("ipvsadm --help")
            .unwrap()
            .contains("ipvsadm v1.31")
    );
    lvs1.does("ldirectord --help").unwrap();
    lvs1.write("/etc/ha.d/ldirectord.cf", FILE, 0o644).unwrap();
    for server in ["www1", "www2"] {
        let holds = "ip link set lo up && ip addr add 10.0.0.3/32 dev lo && \
                     echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore && \
                     echo 2 > /proc/sys/net/ipv4/conf/all/arp_announce";
        let ended = site.run(server, holds).unwrap();
        assert!(ended.success, "{ended:?}");
    }
    lvs1.does("ip addr add 10.0.0.3/24 dev eth0").unwrap();
    lvs1.does("/etc/init.d/lvsd start").unwrap();
    let ask = "curl --silent --max-time 10 --output /dev/null --write-out '%{http_code}' http://10.0.0.3/";
    says(&site, "client", ask, "200");

    let stop = site.folder().join("stop");
    let load = format!(
        "n=0; failed=0; while [ ! -e {} ] && [ $n -lt 50000 ]; do \
         [ \"$({ask})\" = 200 ] || failed=$((failed+1)); n=$((n+1)); echo $n > {}; done; echo failed=$failed",
        stop.display(),
        site.folder().join("count").display()
    );
    let count = || -> u64 {
        let text = fs::read_to_string(site.folder().join("count")).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    };
    let after = |requests: u64| {
        let goal = count() + requests;
        assert!(eventually(Site::PATIENCE, || count() >= goal));
    };
    let pid = || lvs1.does("cat /run/ldirectord.ldirectord.cf.pid").unwrap();
    thread::scope(|scope| {
        let loaded = scope.spawn(|| site.run("client", &load).unwrap());
        after(50);
        let old = pid();
        let upgraded = lvs1
            .run("dpkg --install /var/packages/0.2.1/*.deb")
            .unwrap();
        let running = eventually(Site::PATIENCE, || {
            lvs1.run("cat /run/ldirectord.ldirectord.cf.pid")
                .is_ok_and(|ended| ended.success && ended.said != old)
        });
        after(50);
        fs::write(&stop, "").unwrap();
        let said = loaded.join().unwrap().said;
        assert!(upgraded.success, "{}", upgraded.said);
        assert!(running, "it was not restarted: {}", upgraded.said);
        assert!(said.contains("failed=0"), "{said} of {} requests", count());
    });
    assert!(
        lvs1.does("dpkg --status lvs")
            .unwrap()
            .contains("Version: 0.2.1")
    );

    let removed = lvs1
        .does(&format!("dpkg --remove {}", PACKAGES.join(" ")))
        .unwrap();
    assert!(removed.contains("left in the kernel go on"), "{removed}");
    lvs1.does(&format!("dpkg --purge {}", PACKAGES.join(" ")))
        .unwrap();
    lvs1.does("rm /etc/ha.d/ldirectord.cf").unwrap();
    let remains: Vec<_> = paths(lvs1).difference(&before).cloned().collect();
    assert_eq!(remains, Vec::<String>::new());
    lvs1.does("! pgrep -x lvsd").unwrap();
}
