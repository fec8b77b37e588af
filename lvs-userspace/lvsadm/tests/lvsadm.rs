//! `lvsadm` as a program: its requests over the control socket, its exit codes, long answers. At the other end
//! is a stub of the daemon, which has its own tests.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use lvs_api::model::Protocol;
use lvs_api::protocol::{self, Connection, Edit, Refusal, RefusalKind, Refused, RefusedEdit};
use lvs_api::route::Route;
use lvs_api::timeouts::Timeouts;
use parking_lot::Mutex;
use tempfile::TempDir;

/// Edits that arrived.
type Edits = Arc<Mutex<Vec<Edit>>>;

/// A stub of the daemon.
struct Stub {
    folder: TempDir,
    edits: Edits,
    _runtime: tokio::runtime::Runtime,
}

impl Stub {
    /// Starts a stub that refuses to delete services, and lists these connections so many times.
    fn start(connections: u16, copies: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let edits = Edits::default();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = {
            let _entered = runtime.enter();
            tokio::net::UnixListener::bind(folder.path().join("socket")).unwrap()
        };
        let lines: Vec<_> = (0..connections).map(line).collect();
        let lines = Bytes::from(lines.concat());
        let list = move || {
            let lines = lines.clone();
            // In pieces that end anywhere.
            let pieces = stream::iter(0..copies).flat_map(move |_| {
                let lines = lines.clone();
                let starts = (0..lines.len()).step_by(1000);
                stream::iter(starts.map(move |start| {
                    let piece = lines.slice(start..lines.len().min(start + 1000));
                    Ok::<_, std::io::Error>(piece)
                }))
            });
            async { Body::from_stream(pieces) }
        };
        let timeouts = Timeouts {
            tcp: 900,
            tcp_fin: 120,
            udp: 300,
        };
        let routes = axum::Router::new()
            .route(Route::Edit.path(), post(edit))
            .route(Route::EditMany.path(), post(edit_many))
            .route(
                Route::Timeouts.path(),
                get(move || async move { Json(timeouts) }),
            )
            .route(Route::Connections.path(), get(list))
            .with_state(Arc::clone(&edits));
        runtime.spawn(async { axum::serve(listener, routes).await });
        Self {
            folder,
            edits,
            _runtime: runtime,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn lvsadm(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lvsadm"));
        command
            .env("LVS_SOCKET", self.socket())
            .args(line.split_whitespace())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Output {
        self.lvsadm(line).output().unwrap()
    }

    fn edits(&self) -> Vec<Edit> {
        let edits = self.edits.lock();
        edits.clone()
    }
}

async fn edit(State(edits): State<Edits>, Json(edit): Json<Edit>) -> axum::response::Response {
    let refused = matches!(edit, Edit::DeleteService { .. });
    edits.lock().push(edit);
    if refused {
        let refusal = Refusal {
            kind: RefusalKind::NoSuchService,
            message: "there is no such virtual service".to_owned(),
        };
        return (StatusCode::NOT_FOUND, Json(refusal)).into_response();
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn edit_many(State(edits): State<Edits>, Json(many): Json<protocol::Edits>) -> Json<Refused> {
    let refused = (0..).zip(&many.edits).filter_map(|(place, edit)| {
        let refusal = Refusal::new(RefusalKind::NoSuchService, "there is none");
        matches!(edit, Edit::DeleteService { .. }).then_some(RefusedEdit { place, refusal })
    });
    let refused = refused.collect::<Vec<_>>();
    if refused.is_empty() || !many.atomic {
        edits.lock().extend(many.edits);
    }
    Json(Refused { edits: refused })
}

fn line(number: u16) -> String {
    let connection = Connection {
        protocol: Some(Protocol::Tcp),
        expires: 61,
        state: "ESTABLISHED".to_owned(),
        client: SocketAddr::from(([198, 51, 100, 7], number)),
        virtual_address: SocketAddr::from(([192, 0, 2, 10], 80)),
        server: SocketAddr::from(([10, 0, 0, 1], 80)),
        template: false,
        engine: None,
        replicated: false,
    };
    serde_json::to_string(&connection).unwrap() + "\n"
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn without_a_daemon_it_says_how_to_start_one() {
    for arguments in [&["-Ln"][..], &["-C"], &[]] {
        let output = Command::new(env!("CARGO_BIN_EXE_lvsadm"))
            .args(arguments)
            .args(["--socket", "/nonexistent/lvsd.sock"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(
            text(&output.stderr),
            "lvsd is not running at /nonexistent/lvsd.sock: start it with `lvsd --interface IF` \
             (see `lvsd --help`), or once and for all with `systemctl enable --now lvsd-tables.socket`: \
             then the first command starts it\n"
        );
    }
}

#[test]
fn help_and_version_need_no_daemon() {
    for option in ["-h", "-v"] {
        let output = Command::new(env!("CARGO_BIN_EXE_lvsadm"))
            .arg(option)
            .output()
            .unwrap();
        assert!(output.status.success());
        assert!(text(&output.stdout).starts_with("lvsadm "));
    }
}

#[test]
fn a_refusal_is_one_line_and_255() {
    let stub = Stub::start(0, 0);
    let output = stub.run("-D -t 192.0.2.10:80");
    assert_eq!(output.status.code(), Some(255));
    assert_eq!(text(&output.stderr), "No such service\n");
}

#[test]
fn the_socket_may_be_an_option() {
    let stub = Stub::start(0, 0);
    let output = stub
        .lvsadm("-L --timeout --socket")
        .arg(stub.socket())
        .env("LVS_SOCKET", "/nonexistent")
        .output()
        .unwrap();
    assert_eq!(
        text(&output.stdout),
        "Timeout (tcp tcpfin udp): 900 120 300\n"
    );
}

#[test]
fn restoring_goes_on_after_a_refusal_and_its_exit_code_is_the_last_lines() {
    let stub = Stub::start(0, 0);
    let file = stub.folder.path().join("rules");
    for (lines, code, edits) in [
        ("-D -t 1.2.3.4:80\n-C\n", 0, 2),
        ("-C\n-D -t 1.2.3.4:80\n", 255, 2),
        ("-C\n-D -t 1.2.3.4:80x\n-C\n", 2, 1),
    ] {
        let before = stub.edits().len();
        std::fs::write(&file, lines).unwrap();
        let mut command = stub.lvsadm("-R");
        command.stdin(std::fs::File::open(&file).unwrap());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{lines}");
        assert_eq!(stub.edits().len() - before, edits, "{lines}");
    }
}

#[test]
fn an_atomic_restore_names_the_line_that_is_wrong_and_changes_nothing() {
    let stub = Stub::start(0, 0);
    let file = stub.folder.path().join("rules");
    for (lines, error) in [
        (
            "-C\n-Z\n\n-D -t 1.2.3.4:80\n-C\n",
            "line 4: No such service\nnothing was changed\n",
        ),
        (
            "-C\n-A -t 1.2.3.4:80x\n",
            "line 2: illegal virtual server address[:port] specified\nnothing was changed\n",
        ),
        (
            "-C\n-Ln\n",
            "line 2: only changes of virtual services and real servers can be atomic\nnothing was changed\n",
        ),
    ] {
        std::fs::write(&file, lines).unwrap();
        let mut command = stub.lvsadm("-R --atomic");
        command.stdin(std::fs::File::open(&file).unwrap());
        let output = command.output().unwrap();
        assert_eq!(text(&output.stderr), error);
        assert_eq!(output.status.code(), Some(255), "{lines}");
        assert_eq!(stub.edits(), [], "{lines}");
    }
}

#[test]
fn a_daemon_that_is_starting_is_waited_for() {
    let stub = Stub::start(0, 0);
    let socket = stub.folder.path().join("socket");
    let new = stub.folder.path().join("socket.new");
    std::fs::rename(&socket, &new).unwrap();
    let mut waiting = stub.lvsadm("-L --timeout");
    waiting.env("LVS_SOCKET", &socket);
    let waiting = waiting.stdout(Stdio::piped()).spawn().unwrap();
    // It would have failed by then if it did not wait.
    std::thread::sleep(std::time::Duration::from_secs(1));
    std::fs::rename(&new, &socket).unwrap();
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("900 120 300"));
}

#[test]
fn a_daemon_that_does_not_answer_is_not_waited_for_longer_than_the_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    // It never accepts.
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for line in ["-Ln", "role", "status", "-C"] {
        let output = Command::new(env!("CARGO_BIN_EXE_lvsadm"))
            .env("LVS_SOCKET", &socket)
            .args(["--timeout", "200ms"])
            .args(line.split_whitespace())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert!(said.contains("lvsd does not answer"), "{line}: {said}");
        assert_eq!(output.status.code(), Some(2), "{line}");
    }
}

#[test]
fn called_as_ipvsadm_restore_it_flushes_first() {
    use std::os::unix::process::CommandExt as _;
    let stub = Stub::start(0, 0);
    let file = stub.folder.path().join("rules");
    std::fs::write(&file, "# saved yesterday\n-Z\n").unwrap();
    let mut command = stub.lvsadm("");
    command
        .arg0("/sbin/ipvsadm-restore")
        .stdin(std::fs::File::open(&file).unwrap());
    assert!(command.status().unwrap().success());
    assert_eq!(stub.edits(), [Edit::Flush, Edit::Zero { service: None }]);
}

#[test]
fn an_import_of_marks_fails_if_a_rule_was_left_out() {
    let stub = Stub::start(0, 0);
    let file = stub.folder.path().join("rules");
    let good = "-A PREROUTING -d 192.0.2.10/32 -p tcp --dport 80 -j MARK --set-mark 1";
    let bad = "-A PREROUTING -d 192.0.2.10/32 -p tcp -m owner --uid-owner 7 -j MARK --set-mark 2";
    for (lines, code, edits) in [
        (format!("*mangle\n{good}\nCOMMIT\n"), 0, 1),
        (format!("*mangle\n{bad}\n{good}\nCOMMIT\n"), 1, 1),
    ] {
        let before = stub.edits().len();
        std::fs::write(&file, &lines).unwrap();
        let mut command = stub.lvsadm("--import-marks");
        command.stdin(std::fs::File::open(&file).unwrap());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{lines}");
        assert_eq!(stub.edits().len() - before, edits, "{lines}");
        assert_eq!(text(&output.stdout), "--mark 1 -t 192.0.2.10:80\n");
        let said = text(&output.stderr);
        assert_eq!(
            said.contains("line 2") && said.contains("not imported: 1"),
            code == 1,
            "{said}"
        );
    }
}

#[test]
fn connections_are_listed_wherever_the_pieces_of_the_answer_end() {
    let stub = Stub::start(500, 1);
    let output = stub.run("-Lcn");
    let lines: Vec<_> = text(&output.stdout).lines().skip(2).collect();
    assert_eq!(lines.len(), 500);
    for (number, line) in lines.iter().enumerate() {
        let client = format!("198.51.100.7:{number}");
        let expected =
            format!("TCP 01:01  ESTABLISHED {client:<18} 192.0.2.10:80      10.0.0.1:80");
        assert_eq!(*line, expected);
    }
}

#[test]
fn a_long_listing_ends_quietly_when_its_reader_ends() {
    // More than any buffer on the way holds.
    let stub = Stub::start(60_000, 1_000);
    let mut command = stub.lvsadm("-Lcn");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    output.read_line(&mut first).unwrap();
    assert_eq!(first, "IPVS connection entries\n");
    drop(output);
    let mut errors = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
    // As the shell has it for ipvsadm, which SIGPIPE ends.
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

#[test]
fn an_output_that_cannot_be_written_is_told_once() {
    let stub = Stub::start(0, 0);
    for words in [&["status", "--help"][..], &["--generate", "man"], &["-Lcn"]] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let mut command = stub.lvsadm(words[0]);
        command.args(&words[1..]).stdout(full);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert_eq!(
            said.matches("No space left").count(),
            1,
            "{words:?}: {said}"
        );
    }
}
