//! Commands before the director: a socket of systemd's starts it, as ipvsadm loads IPVS's module.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lvs_api::model::Family::Ipv4;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::server;
use lvs_tests::lab::{Arms, Lab, Missing, available, find, skipped};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(30);

/// A process that is ended with its test.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A lab without a daemon, whose control socket systemd's tool listens at; `None` where there is none.
fn activated(programs: &[&str]) -> Option<(Lab, Running)> {
    if !available() {
        return None;
    }
    for program in ["systemd-socket-activate"].iter().chain(programs) {
        if find(program).is_none() {
            let missing = Missing(format!("{program} is not installed"));
            assert!(skipped(Err(missing)));
            return None;
        }
    }
    let lab = Lab::new(Arms::Two).unwrap();
    let lvsd = lab.director.command(&[]);
    let mut activator = Command::new(find("systemd-socket-activate").unwrap());
    activator.arg("--listen").arg(lab.director.socket());
    activator.arg(lvsd.get_program()).args(lvsd.get_args());
    let log = std::fs::File::create(lab.director.log()).unwrap();
    activator
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let running = Running(lab.director.namespace().spawn(&mut activator).unwrap());
    assert!(eventually(PATIENCE, || lab.director.socket().exists()));
    Some((lab, running))
}

#[test]
fn the_first_command_starts_the_director() {
    let Some((lab, mut lvsd)) = activated(&[]) else {
        return;
    };
    lab.director.lvsadm("-A -t 10.1.0.200:80 -s rr").unwrap();
    assert!(
        lab.director
            .lvsadm("-Sn")
            .unwrap()
            .contains("10.1.0.200:80")
    );
    // The socket is systemd's, and stays.
    lvsd.signal(Signal::SIGTERM);
    assert!(lvsd.0.wait().unwrap().success());
    assert!(lab.director.socket().exists());
    assert!(UnixStream::connect(lab.director.socket()).is_err());
}

#[test]
fn ldirectord_before_the_director_fills_its_tables() {
    let Some((lab, _lvsd)) = activated(&["ldirectord"]) else {
        return;
    };
    let folder = lab.folder().join("ldirectord");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join(format!("first-{}.cf", std::process::id()));
    let text = format!(
        "checkinterval=1\nvirtual=10.1.0.200:80\n\treal={}:80 masq 5\n\tchecktype=on\n",
        server(Ipv4, 1)
    );
    std::fs::write(&file, text).unwrap();
    // With -d it runs the ipvsadm of its working directory.
    symlink(lab.director.lvsadm_program(), folder.join("ipvsadm")).unwrap();
    let mut ldirectord = Command::new(find("ldirectord").unwrap());
    ldirectord
        .arg("-d")
        .arg(&file)
        .arg("start")
        .current_dir(&folder);
    ldirectord.env("LVS_SOCKET", lab.director.socket());
    ldirectord
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let running = Running(lab.director.namespace().spawn(&mut ldirectord).unwrap());
    let wanted = format!("-a -t 10.1.0.200:80 -r {}:80 -m -w 5", server(Ipv4, 1));
    let listed = || lab.director.lvsadm("-Sn").unwrap_or_default();
    assert!(
        eventually(PATIENCE, || listed().contains(&wanted)),
        "{}",
        listed()
    );
    running.signal(Signal::SIGTERM);
}

#[test]
fn a_socket_that_is_passed_has_to_be_the_directors() {
    let Some((lab, _lvsd)) = activated(&[]) else {
        return;
    };
    let other = lab.folder().join("other.sock");
    let mut command = lab.director.command(&[]);
    command.arg("--socket").arg(&other);
    let mut activator = Command::new(find("systemd-socket-activate").unwrap());
    let listened = lab.folder().join("listened.sock");
    activator.arg("--listen").arg(&listened);
    activator.arg(command.get_program());
    // The option of the lab is replaced.
    let options: Vec<_> = command.get_args().collect();
    let socket = options
        .iter()
        .position(|option| *option == "--socket")
        .unwrap();
    let options = options[..socket].iter().chain(&options[socket + 2..]);
    activator
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let child = lab.director.namespace().spawn(&mut activator).unwrap();
    let mut client = None;
    assert!(eventually(PATIENCE, || {
        client = UnixStream::connect(&listened).ok();
        client.is_some()
    }));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("--socket") && said.contains("listened.sock"),
        "{said}"
    );
}
