//! The configurations of docs/from-haproxy.md do what the page says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::{server, virtual_address};
use lvs_tests::lab::{Lab, Missing, find, skipped};

use crate::health_lab::{HealthLab, PATIENCE};

/// The fences of a kind in a section of the page.
fn fences(section: &str, kind: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/from-haproxy.md");
    let page = fs::read_to_string(path).unwrap();
    let (_, rest) = page.split_once(&format!("## {section}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let begin = format!("```{kind}\n");
    let fences = section.split(&begin).skip(1);
    fences
        .map(|text| text.split("```").next().unwrap().to_owned())
        .collect()
}

/// The only fence of a kind, with addresses and paths of a lab.
fn fence(section: &str, kind: &str, folder: &Path) -> String {
    let [text] = &fences(section, kind)[..] else {
        panic!("not one {kind} in {section}");
    };
    let mut text = text.replace("192.0.2.10", &virtual_address(Ipv4, Nat).to_string());
    for number in 1..=Lab::SERVERS {
        let address = server(Ipv4, number).to_string();
        text = text.replace(&format!("10.0.0.{number}"), &address);
    }
    text.replace("/usr/local/lib/lvs", &folder.to_string_lossy())
}

/// HAProxy accepts its configuration, where there is one.
fn haproxy_accepts(section: &str, folder: &Path) {
    let file = folder.join("haproxy.cfg");
    fs::write(&file, fence(section, "haproxy", folder)).unwrap();
    if skipped(
        find("haproxy")
            .map(drop)
            .ok_or_else(|| Missing("haproxy".to_owned())),
    ) {
        return;
    }
    let output = Command::new("haproxy")
        .arg("-c")
        .arg("-f")
        .arg(&file)
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_web_farm_serves_and_outlives_its_servers() {
    let Some(mut health) = HealthLab::of_none("") else {
        return;
    };
    let folder = health.lab.folder().to_owned();
    haproxy_accepts("Web farm", &folder);
    health.write(&fence("Web farm", "lvsd", &folder));
    health.start();
    health.becomes("1=2 2=1 3=0");
    assert_eq!(health.answering(), ["server1", "server2"]);
    health.lab.servers[0].crash();
    // No request fails meanwhile: what is refused goes elsewhere.
    assert_eq!(health.answering(), ["server2"]);
    health.becomes("2=1 3=0");
    health.lab.servers[1].crash();
    health.becomes("3=1");
    assert_eq!(health.answering(), ["server3"]);
    health.lab.servers[0].recover().unwrap();
    health.becomes("1=2 3=0");
}

/// A MariaDB on each real server.
struct Databases<'a> {
    lab: &'a Lab,
    running: Vec<Child>,
}

impl<'a> Databases<'a> {
    fn start(lab: &'a Lab) -> Self {
        let folder = lab.folder().join("db");
        let shown = folder.display().to_string();
        let mut install = Command::new("mariadb-install-db");
        install.args([
            "--no-defaults",
            "--user=root",
            "--skip-test-db",
            "--skip-name-resolve",
        ]);
        install.args(["--innodb-log-file-size=4M", &format!("--datadir={shown}")]);
        install.arg(format!("--tmpdir={}", lab.folder().display()));
        let output = install.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let users = lab.folder().join("users.sql");
        let statement =
            "CREATE USER IF NOT EXISTS probe IDENTIFIED BY 'secret';\nGRANT ALL ON *.* TO probe;\n";
        fs::write(&users, statement).unwrap();
        let start = |number: u8| {
            let own = format!("{shown}-{number}");
            let copied = Command::new("cp")
                .args(["-r", &shown, &own])
                .status()
                .unwrap();
            assert!(copied.success());
            let mut mariadbd = Command::new("mariadbd");
            mariadbd.args(["--no-defaults", "--user=root", "--skip-name-resolve"]);
            mariadbd.args(["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M"]);
            mariadbd
                .arg(format!("--datadir={own}"))
                .arg(format!("--tmpdir={own}"));
            mariadbd
                .arg(format!("--socket={own}/s"))
                .arg(format!("--pid-file={own}/pid"));
            mariadbd.arg(format!("--server-id={number}"));
            mariadbd.arg(format!("--init-file={}", users.display()));
            // The first is the writer.
            mariadbd.arg(format!("--read-only={}", u8::from(number != 1)));
            mariadbd.stdout(Stdio::null()).stderr(Stdio::null());
            let server = &lab.servers[usize::from(number) - 1];
            server.namespace().spawn(&mut mariadbd).unwrap()
        };
        Self {
            lab,
            running: (1..=Lab::SERVERS).map(start).collect(),
        }
    }

    /// Sets who may be written to.
    fn set_read_only(&self, number: u8, on: bool) {
        let statement = format!("SET GLOBAL read_only={}", u8::from(on));
        let address = server(Ipv4, number).to_string();
        let namespace = self.lab.director.namespace();
        let done = || sql(namespace, &address, 3306, &statement).is_some();
        assert!(eventually(PATIENCE, done));
    }

    /// Number of the server that answers a client at a port of the virtual address.
    fn answering(&self, port: u16) -> Option<u8> {
        let address = virtual_address(Ipv4, Nat).to_string();
        let client = self.lab.client.namespace();
        let said = sql(client, &address, port, "SELECT @@server_id")?;
        said.trim().parse().ok()
    }
}

impl Drop for Databases<'_> {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn sql(from: &lvs_tests::lab::Namespace, address: &str, port: u16, text: &str) -> Option<String> {
    let mut mysql = Command::new("mysql");
    mysql.args([
        "--no-defaults",
        "--connect-timeout=5",
        "-u",
        "probe",
        "-psecret",
        "-N",
    ]);
    mysql.args(["-h", address, "-P", &port.to_string(), "-e", text]);
    let output = from.output(&mut mysql).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(said)
}

#[test]
fn the_writer_and_its_readers_follow_the_roles_of_the_databases() {
    const SECTION: &str = "MySQL: a writer and its readers";
    let missing = ["mariadbd", "mariadb-install-db", "mysql"]
        .into_iter()
        .find(|program| find(program).is_none());
    if skipped(missing.map_or(Ok(()), |program| Err(Missing(program.to_owned())))) {
        return;
    }
    let Some(health) = HealthLab::of_none("") else {
        return;
    };
    let folder = health.lab.folder().to_owned();
    // Health checks run as nobody.
    let scripts = tempfile::TempDir::new().unwrap();
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    open(scripts.path());
    let script = fence(SECTION, "sh", scripts.path());
    for (name, role) in [("mysql-writer", "= 0 ]"), ("mysql-reader", "= 1 ]")] {
        let path = scripts.path().join(name);
        fs::write(&path, script.replace("= 0 ]", role)).unwrap();
        open(&path);
    }
    haproxy_accepts(SECTION, scripts.path());
    let databases = Databases::start(&health.lab);
    health.write(&fence(SECTION, "lvsd", scripts.path()));
    health.start();
    let writer_is = |number| {
        let holds = eventually(PATIENCE, || databases.answering(3306) == Some(number));
        assert!(
            holds,
            "{:?} instead of {number} in {folder:?}:\n{}",
            databases.answering(3306),
            health.log()
        );
    };
    writer_is(1);
    let reads = |numbers: &[u8]| {
        let mut found: Vec<_> = (0..6).filter_map(|_| databases.answering(3307)).collect();
        found.sort_unstable();
        found.dedup();
        found == numbers
    };
    let readers_are =
        |numbers: &[u8]| assert!(eventually(PATIENCE, || reads(numbers)), "{numbers:?}");
    readers_are(&[2, 3]);
    // The roles change.
    databases.set_read_only(1, true);
    databases.set_read_only(2, false);
    writer_is(2);
    readers_are(&[1, 3]);
    // Without any reader the primary of the file serves as one.
    databases.set_read_only(1, false);
    databases.set_read_only(3, false);
    readers_are(&[1]);
}
