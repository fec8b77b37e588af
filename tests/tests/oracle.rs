//! The kernel's own IPVS as an oracle: the same command lines, to the byte the same answers.
//!
//! The command lines are in the folder `oracle`, with a README. Those of `grammar` and `services` go to both each time;
//! those of the folder `recorded` stand there with the kernel's answers, which `cargo xtask oracle` records.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _, pipe};
use std::net::SocketAddrV4;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lvs_tests::eventually;
use lvs_tests::lab::{self, Arms, Host, Lab, Namespace};
use lvs_tests::vm::{self, Kernel};

#[path = "oracle/histories/mod.rs"]
mod histories;
#[path = "oracle/recording.rs"]
mod recording;

use recording::Recording;

/// IPVS and its schedulers.
const MODULES: [&str; 15] = [
    "veth",
    "ip_vs",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_sh",
    "ip_vs_dh",
    "ip_vs_mh",
    "ip_vs_sed",
    "ip_vs_nq",
    "ip_vs_fo",
    "ip_vs_ovf",
    "ip_vs_lblc",
    "ip_vs_lblcr",
];

/// The recordings.
const RECORDINGS: [&str; 9] = [
    "options",
    "masks",
    "values",
    "sync",
    "listings",
    "restore",
    "readings",
    "generated",
    "schedulers",
];

/// A client's network, that of the virtual addresses and that of the real servers in the virtual machine. Frames of `flow
/// send` come by interface `d`.
const NETWORK: &str = include_str!("oracle/network.sh");

/// What the recordings' names of hosts and ports stand for in the virtual machine: what they do everywhere.
const NAMES: &str = "mkdir -p /etc
echo '127.0.0.1 localhost' > /etc/hosts
printf 'ftp 21/tcp\\ndomain 53/tcp\\ndomain 53/udp\\nhttp 80/tcp www\\nhttps 443/tcp\\nhttps 443/udp\\n' > /etc/services
";

/// A command line, what is given to `-R`, a file of `/proc/net`, frames of a client, or the servers that a virtual
/// service's connections have.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Words(Vec<String>),
    Restore(String),
    Proc(String),
    Frames(Vec<String>),
    Servers(String),
}

impl Line {
    fn parse(text: &str) -> Self {
        if let Some(lines) = text.strip_prefix("< ") {
            return Self::Restore(lines.replace("\\n", "\n").replace("\\t", "\t"));
        }
        if let Some(name) = text.strip_prefix("% ") {
            return Self::Proc(name.to_owned());
        }
        if let Some(frames) = text.strip_prefix("> ") {
            return Self::Frames(frames.split_whitespace().map(str::to_owned).collect());
        }
        if let Some(service) = text.strip_prefix("@ ") {
            return Self::Servers(service.to_owned());
        }
        let words = text.split_whitespace();
        Self::Words(words.map(|word| word.replace("''", "")).collect())
    }

    /// For a shell.
    fn command(&self) -> String {
        match self {
            Self::Words(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
                format!("ipvsadm {}", words.join(" "))
            }
            Self::Restore(lines) => format!("printf '%s' '{lines}' | ipvsadm -R"),
            Self::Proc(name) => format!("cat /proc/net/{name}"),
            Self::Frames(words) => {
                format!("nsenter --net=/run/netns/c flow send c {}", words.join(" "))
            }
            // Where a connection expires meanwhile the kernel leaves out another one.
            Self::Servers(_) => "ipvsadm -Lcn && ipvsadm -Lcn".to_owned(),
        }
    }
}

impl Line {
    /// What is recorded of an answer: of connections the servers alone, in the order of the clients' ports, and of each
    /// the last number of its address.
    fn shown(&self, answer: &str) -> String {
        let Self::Servers(service) = self else {
            return answer.to_owned();
        };
        let mut servers = BTreeMap::new();
        for line in answer.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            if let [_, _, _, client, to, server] = *words.as_slice()
                && to == service
                && let Some((_, port)) = client.rsplit_once(':')
                && let Ok(server) = server.parse::<SocketAddrV4>()
            {
                let [.., last] = server.ip().octets();
                servers.insert(port.parse::<u16>().unwrap(), last.to_string());
            }
        }
        let servers: Vec<_> = servers.into_values().collect();
        format!("{}\n[0]\n", servers.join(" "))
    }
}

/// A command line as it is written in its file, and what it was answered with.
type Answer = (String, String);

fn lines(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/oracle")
        .join(name);
    let text = fs::read_to_string(&path).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// The answers of ipvsadm, line by line, on the kernel's own IPVS.
fn ask_ipvs(lines: &[String]) -> Vec<Answer> {
    ask_ipvs_after("", lines)
}

/// The same after some commands of a shell.
fn ask_ipvs_after(before: &str, lines: &[String]) -> Vec<Answer> {
    let ask = |line: &String| {
        let command = Line::parse(line).command();
        format!("{command} 2>&1 && echo '[0]' || echo \"[$?]\"\necho '--'\n")
    };
    let script: String = lines.iter().map(ask).collect();
    let script = format!("modprobe ip_vs\n{before}{script}");
    let kernel = Kernel::debian(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian")).unwrap();
    let (ipvsadm, ip) = (lab::find("ipvsadm").unwrap(), lab::find("ip").unwrap());
    let flow = lab::built("flow").unwrap();
    let said = kernel
        .run_with_modules(&MODULES, &[&ipvsadm, &ip, &flow], &script)
        .unwrap();
    let answers = said
        .split("--\n")
        .zip(lines)
        .map(|(answer, line)| Line::parse(line).shown(answer.trim_end_matches("--")));
    let answers: Vec<_> = lines.iter().cloned().zip(answers).collect();
    assert_eq!(answers.len(), lines.len(), "{said}");
    answers
}

/// The answers of lvsadm, called as ipvsadm, for a daemon that listens on `socket`. Frames are sent from the first of
/// the namespaces to the second one.
fn ask_lvs(lines: &[String], socket: &Path, network: Option<[&Namespace; 2]>) -> Vec<Answer> {
    let program = lab::built("lvsadm").unwrap();
    let flow = lab::built("flow").unwrap();
    let answer = |text: &String| {
        let line = Line::parse(text);
        if let Line::Frames(words) = &line {
            let words: Vec<_> = ["send", "c"]
                .into_iter()
                .chain(words.iter().map(String::as_str))
                .collect();
            let [network, director] = network.unwrap();
            let before = received(director);
            network.run(flow.to_str().unwrap(), &words).unwrap();
            let handled = || received(director) >= before + count(&words);
            assert!(eventually(Duration::from_secs(10), handled), "{text}");
            // Where they are counted before they are handled, that is a moment later.
            std::thread::sleep(Duration::from_millis(5));
            return (text.clone(), "[0]\n".to_owned());
        }
        let (mut output, both) = pipe().unwrap();
        let mut command = Command::new(&program);
        command
            .arg0("ipvsadm")
            .env("LVS_SOCKET", socket)
            .stdin(Stdio::piped())
            .stdout(both.try_clone().unwrap())
            .stderr(both);
        match &line {
            Line::Words(words) => command.args(words),
            Line::Restore(_) => command.arg("-R"),
            Line::Proc(name) => command.args(["--proc", name]),
            Line::Servers(_) | Line::Frames(_) => command.arg("-Lcn"),
        };
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut stdin = child.stdin.take().unwrap();
        if let Line::Restore(lines) = &line {
            // It may have ended before it read everything.
            let _ = stdin.write_all(lines.as_bytes());
        }
        drop(stdin);
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        let code = child.wait().unwrap().code();
        let said = format!("{said}[{}]\n", code.unwrap_or(-1));
        (text.clone(), line.shown(&said))
    };
    lines.iter().map(answer).collect()
}

/// Frames of `flow send` with these words.
fn count(words: &[&str]) -> u64 {
    let ports = words.iter().find_map(|word| word.split_once('-'));
    ports.map_or(1, |(first, last)| {
        let first = first.rsplit_once(':').map_or(first, |(_, port)| port);
        last.parse::<u64>().unwrap() - first.parse::<u64>().unwrap() + 1
    })
}

/// Frames that the director's end of the pair of devices took so far.
fn received(director: &Namespace) -> u64 {
    let shown = director
        .run("ip", &["-s", "-json", "link", "show", "dev", "d"])
        .unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown[0]["stats64"]["rx"]["packets"].as_u64().unwrap()
}

/// The size of the connection table is each director's own business.
fn without_size(answer: &str) -> String {
    match answer.split_once("(size=").and_then(|(before, rest)| {
        rest.split_once(')')
            .map(|(_, after)| format!("{before}(size=)") + after)
    }) {
        Some(text) => text,
        None => answer.to_owned(),
    }
}

fn compare(ipvs: &[Answer], ours: &[Answer]) {
    let different: Vec<_> = ipvs
        .iter()
        .zip(ours)
        .filter(|((_, theirs), (_, ours))| without_size(theirs) != without_size(ours))
        .map(|((line, theirs), (_, ours))| {
            format!("$ ipvsadm {line}\nIPVS:\n{theirs}here:\n{ours}")
        })
        .collect();
    println!(
        "{} command lines, {} differences",
        ipvs.len(),
        different.len()
    );
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn invalid_command_lines_are_answered_as_ipvsadm_answers_them() {
    if lab::skipped(vm::check()) {
        return;
    }
    let lines = lines("grammar");
    let nobody = PathBuf::from("/nonexistent");
    compare(&ask_ipvs(&lines), &ask_lvs(&lines, &nobody, None));
}

#[test]
fn services_are_stored_and_listed_as_ipvs_does() {
    if lab::skipped(vm::check()) {
        return;
    }
    let Some(lab) = Lab::for_story(Arms::One, "") else {
        return;
    };
    let lines = lines("services");
    let ours = ask_lvs(&lines, &lab.director.socket(), None);
    compare(&ask_ipvs(&lines), &ours);
}

/// Compares the answers here to those of a recording.
fn replay(name: &str) {
    // The virtual machine has no eth0 either, which sync daemons use unless another interface is named.
    let Some(lab) = Lab::for_story(Arms::Two, "") else {
        return;
    };
    let recording = Recording::read(name);
    let lines = recording.lines();
    let with_frames = lines.iter().any(|line| line.starts_with("> "));
    if with_frames {
        lay_network(&lab);
    }
    let network = lab.namespace(Host::Network);
    let frames = [&network, lab.director.namespace()];
    let ours = ask_lvs(&lines, &lab.director.socket(), Some(frames));
    let compared = recording.entries.iter().zip(ours);
    let compared = compared.filter(|(entry, _)| entry.different.is_none());
    let (ipvs, ours): (Vec<_>, Vec<_>) = compared
        .map(|(entry, ours)| ((entry.line.clone(), entry.answer.clone()), ours))
        .unzip();
    compare(&ipvs, &ours);
}

/// Gives the lab's director what the director in the virtual machine has.
fn lay_network(lab: &Lab) {
    let (network, director) = (lab.namespace(Host::Network), lab.director.namespace());
    let link = format!(
        "link add name c address 02:00:00:00:00:0c type veth peer name d address 02:00:00:00:00:0d netns {}\n\
         link set dev c up\n",
        director.name()
    );
    network.ip(&link).unwrap();
    let neighbours = (11..=40).map(|last| {
        format!("neigh replace 10.2.0.{last} lladdr 02:00:00:00:02:02 dev back nud permanent\n")
    });
    let lines: String = std::iter::once("link set dev d up\n".to_owned())
        .chain(neighbours)
        .collect();
    director.ip(&lines).unwrap();
    lab.director.kill();
    let interfaces = ["front", "back", "d"].map(|name| ["--interface", name]);
    lab.director.start_on(&interfaces.concat()).unwrap();
}

macro_rules! replays {
    ($($test:ident $recording:literal;)+) => {
        $(
            #[test]
            fn $test() {
                replay($recording);
            }
        )+
    };
}

replays! {
    spellings_of_options_are_read_as_ipvsadm_reads_them "options";
    masks_of_persistence_are_those_of_ipvs "masks";
    numbers_addresses_and_names_are_read_as_ipvsadm_reads_them "values";
    sync_daemons_are_started_listed_and_stopped_as_by_ipvsadm "sync";
    listings_are_those_of_ipvsadm "listings";
    saved_lines_are_restored_as_by_ipvsadm "restore";
    readings_for_scripts_are_the_files_of_the_kernel "readings";
    generated_commands_have_the_same_effect "generated";
    schedulers_choose_the_servers_that_the_kernel_chooses "schedulers";
}

/// The kernel's answers are recorded anew with `LVS_ORACLE=record`; otherwise they are compared with the recordings.
#[test]
#[ignore = "takes minutes: `cargo xtask oracle` runs it"]
fn the_recordings_are_what_the_kernel_answers() {
    if lab::skipped(vm::check()) {
        return;
    }
    let mut recordings = RECORDINGS.map(Recording::read);
    let fresh = "-C\n--stop-daemon master\n--stop-daemon backup\n--set 900 120 300";
    let mut lines = Vec::new();
    for recording in &recordings {
        lines.extend(fresh.lines().map(str::to_owned));
        lines.extend(recording.lines());
    }
    let before = format!("{NAMES}{NETWORK}");
    let mut answers = ask_ipvs_after(&before, &lines).into_iter();
    let mut different = 0;
    for recording in &mut recordings {
        let mut answers = answers.by_ref().skip(fresh.lines().count());
        for (entry, (line, answer)) in recording.entries.iter_mut().zip(&mut answers) {
            assert_eq!(entry.line, line);
            let answer = format!("{}\n", answer.trim_matches('\n'));
            if entry.answer != answer {
                println!(
                    "$ ipvsadm {line}\nrecorded:\n{}now:\n{answer}",
                    entry.answer
                );
                different += 1;
            }
            entry.answer = answer;
        }
    }
    if std::env::var_os("LVS_ORACLE").is_some_and(|what| what == "record") {
        recordings.iter().for_each(Recording::write);
    } else {
        assert_eq!(different, 0, "differences from the recordings");
    }
}

#[test]
fn settings_are_listed_set_and_kept_over_a_restart() {
    let Some(lab) = Lab::for_story(Arms::One, "") else {
        return;
    };
    let director = &lab.director;
    let shown = |name: &str| director.lvsadm(&format!("--sysctl {name}")).unwrap();
    let all = shown("");
    assert!(all.contains("net.ipv4.vs.conn_reuse_mode = 1\n"), "{all}");
    assert!(
        all.contains("net.ipv4.vs.conntrack = 0  # cannot be set: "),
        "{all}"
    );
    for (setting, line) in [
        ("conn_reuse_mode=0", "conn_reuse_mode = 0"),
        ("net.ipv4.vs.expire_nodest_conn=1", "expire_nodest_conn = 1"),
        (
            "expire_quiescent_template=1",
            "expire_quiescent_template = 1",
        ),
        ("sloppy_tcp=1", "sloppy_tcp = 1"),
        ("run_estimation=0", "run_estimation = 0"),
        ("sync_threshold=5,60", "sync_threshold = 5\t60"),
        ("sync_ports=4", "sync_ports = 4"),
    ] {
        director.lvsadm(&format!("--sysctl {setting}")).unwrap();
        let (name, _) = setting.split_once('=').unwrap();
        assert_eq!(shown(name), format!("net.ipv4.vs.{line}\n"));
    }
    let before = shown("");
    director.restart().unwrap();
    assert_eq!(shown(""), before);
    // In a file of lines they stand as here.
    director
        .restore("--sysctl sloppy_tcp=0\n--sysctl sync_threshold=3,50\n")
        .unwrap();
    assert_eq!(shown("sloppy_tcp"), "net.ipv4.vs.sloppy_tcp = 0\n");
    assert_eq!(
        shown("sync_threshold"),
        "net.ipv4.vs.sync_threshold = 3\t50\n"
    );
    for (setting, why) in [
        (
            "conntrack=1",
            "conntrack is 0 here and takes no other value: ",
        ),
        ("sync_qlen_max=5", "sync_qlen_max cannot be set: "),
        (
            "sloppy_tcp=2",
            "\"2\" is no value of sloppy_tcp: a number from 0 to 1",
        ),
        ("nonsense=1", "there is no setting \"nonsense\""),
    ] {
        let refused = director.try_lvsadm(&format!("--sysctl {setting}")).unwrap();
        assert_eq!(refused.status.code(), Some(255), "{setting}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(why), "{setting}: {said}");
    }
}
