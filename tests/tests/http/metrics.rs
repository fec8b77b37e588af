//! `/metrics`, read by Prometheus' own client library and checker.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use lvs_api::model::Family::Ipv4;
use lvs_api::model::Method::Nat;
use lvs_tests::eventually;
use lvs_tests::lab::addresses::virtual_address;
use lvs_tests::lab::programs;
use lvs_tests::lab::skipped;

use crate::web_lab::{PATIENCE, WebLab};

/// Reads OpenMetrics by Prometheus' client library for Python, and prints a line for each sample.
const PARSER: &str = "\
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation, family.name
    for sample in family.samples:
        labels = ','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))
        print(family.type, sample.name, labels, sample.value, sep='|')
";

/// What a program prints of a text.
fn piped(program: &str, arguments: &[&str], text: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_client_library_reads_what_was_counted() {
    let client = piped_client();
    if skipped(client) {
        return;
    }
    let Some(web) = WebLab::open() else {
        return;
    };
    let address = virtual_address(Ipv4, Nat);
    for _ in 0..4 {
        web.lab.client.get(address).unwrap();
    }
    let connections = format!("lvs_service_connections_total{{service=\"TCP {address}:80\"}}");
    assert!(eventually(PATIENCE, || web.metric(&connections) == Some(4.0)));
    let answer = web.ask("/metrics", &["-H", "Accept: application/openmetrics-text"]);
    assert!(
        answer
            .head
            .contains("application/openmetrics-text; version=1.0.0"),
        "{}",
        answer.head
    );
    let samples = piped("/usr/bin/python3", &["-c", PARSER], &answer.body);
    let service = format!("service=TCP {address}:80");
    let server = format!("server=10.2.0.11:80,{service}");
    for wanted in [
        format!("counter|lvs_service_connections_total|{service}|4"),
        format!("counter|lvs_server_connections_total|{server}|2"),
        format!("gauge|lvs_server_up|{server}|1"),
        format!("gauge|lvs_server_weight|{server}|5"),
        format!("gauge|lvs_service_servers|{service},state=up|2"),
        format!(
            "info|lvs_service_info|family=ipv4,name=shop,protocol=TCP,scheduler=rr,{service}|1"
        ),
        "gauge|lvs_role|role=master|1".to_owned(),
        "gauge|lvs_config_last_reload_successful||1".to_owned(),
        "counter|lvs_server_downs_total|server=10.2.0.12:80".to_owned(),
        "histogram|lvs_health_check_duration_seconds_bucket|kind=http,le=+Inf,result=passed|"
            .to_owned(),
        "counter|lvs_packets_total|verdict=forward-nat".to_owned(),
        "info|lvs_interface_info|interface=".to_owned(),
        "gauge|lvs_connection_table_capacity|family=ipv6|131072".to_owned(),
        "counter|process_cpu_seconds_total||".to_owned(),
    ] {
        assert!(
            samples.lines().any(|line| line.starts_with(&wanted)),
            "no {wanted} in\n{samples}"
        );
    }
}

#[test]
fn checks_and_times_down_are_counted() {
    let Some(web) = WebLab::open() else {
        return;
    };
    let address = virtual_address(Ipv4, Nat);
    let of = |name: &str, labels: &str| {
        web.metric(&format!(
            "{name}{{service=\"TCP {address}:80\",server=\"10.2.0.11:80\"{labels}}}"
        ))
    };
    let passed = || of("lvs_server_checks_total", ",result=\"passed\"");
    assert!(eventually(PATIENCE, || passed().is_some_and(|count| count >= 2.0)));
    let downs = || of("lvs_server_downs_total", "");
    web.lab
        .director
        .lvsadm("server shop 10.2.0.11 maint")
        .unwrap();
    let maint = || of("lvs_server_admin_state", ",state=\"maint\"");
    assert!(eventually(PATIENCE, || maint() == Some(1.0)));
    web.lab
        .director
        .lvsadm("server shop 10.2.0.11 ready")
        .unwrap();
    // A check on a busy machine may have taken too long.
    let before = downs().unwrap();
    let crash = web.lab.servers[0].namespace();
    crash.ip("link set lo down").unwrap();
    crash
        .run("iptables", &["-I", "INPUT", "-j", "DROP"])
        .unwrap();
    assert!(eventually(PATIENCE, || downs().is_some_and(|now| now > before)));
    let time = || of("lvs_server_down_seconds_total", "");
    assert!(eventually(PATIENCE, || time().is_some_and(|seconds| seconds >= 1.0)));
    assert!(of("lvs_server_checks_total", ",result=\"failed\"").unwrap() >= 1.0);
    assert!(eventually(PATIENCE, || of("lvs_server_up", "") == Some(0.0)));
}

#[test]
fn promtool_finds_nothing_to_say_about_the_text_format() {
    if skipped(programs(&["promtool"])) {
        return;
    }
    let Some(web) = WebLab::open() else {
        return;
    };
    let answer = web.ask("/metrics", &["-H", "Accept: text/plain"]);
    assert!(
        answer.head.contains("text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    piped("promtool", &["check", "metrics"], &answer.body);
    let answer = web.ask("/metrics?names=node-ipvs", &[]);
    piped("promtool", &["check", "metrics"], &answer.body);
    let address = virtual_address(Ipv4, Nat);
    let labels = format!(
        "local_address=\"{address}\",local_port=\"80\",remote_address=\"10.2.0.11\",remote_port=\"80\",\
         proto=\"TCP\",local_mark=\"\""
    );
    let weight = format!("node_ipvs_backend_weight{{{labels}}} 5");
    assert!(
        answer.body.lines().any(|line| line == weight),
        "{}",
        answer.body
    );
    assert!(!answer.body.contains("lvs_"), "{}", answer.body);
}

#[test]
fn a_scrape_is_bounded_by_what_it_asks_for() {
    let Some(web) = WebLab::open() else {
        return;
    };
    let families = |query: &str| web.ask(&format!("/metrics?{query}"), &[]).body;
    let services = families("scope=service");
    assert!(services.contains("lvs_service_info") && !services.contains("lvs_server_"));
    assert!(!families("service=other").contains("TCP "));
    assert!(families("service=shop&scope=server").contains("10.2.0.11:80"));
    let wrong = web.ask("/metrics?scope=all", &[]);
    assert_eq!(wrong.status, 400);
    assert!(
        wrong.body.contains("director, service or server"),
        "{}",
        wrong.body
    );
}

#[test]
fn a_reload_that_fails_is_seen() {
    let Some(web) = WebLab::open() else {
        return;
    };
    let successful = || web.metric("lvs_config_last_reload_successful");
    assert_eq!(successful(), Some(1.0));
    fs::write(web.configuration(), "nonsense\n").unwrap();
    web.reload();
    assert!(eventually(PATIENCE, || successful() == Some(0.0)));
}

/// Prometheus' client library, or the reason why there is none.
fn piped_client() -> Result<(), lvs_tests::lab::Missing> {
    programs(&[])?;
    let import = Command::new("/usr/bin/python3")
        .args(["-c", "import prometheus_client.openmetrics.parser"])
        .stderr(Stdio::null())
        .status();
    let missing = "python3-prometheus-client is not installed: run `cargo xtask setup`";
    match import {
        Ok(status) if status.success() => Ok(()),
        _ => Err(lvs_tests::lab::Missing(missing.to_owned())),
    }
}

#[test]
fn a_trace_is_seen() {
    let Some(web) = WebLab::open() else {
        return;
    };
    assert_eq!(web.metric("lvs_tracers"), Some(0.0));
    assert_eq!(web.metric("lvs_tracing_start_timestamp_seconds"), None);
    let director = &web.lab.director;
    let mut trace = Command::new(director.lvsadm_program());
    trace.arg("--socket").arg(director.socket());
    trace.args(["trace", "--for", "30s", "port", "81"]);
    trace.stdout(Stdio::null()).stderr(Stdio::null());
    let mut trace = director.namespace().spawn(&mut trace).unwrap();
    let traced = eventually(PATIENCE, || web.metric("lvs_tracers") == Some(1.0));
    let begun = web.metric("lvs_tracing_start_timestamp_seconds");
    trace.kill().unwrap();
    trace.wait().unwrap();
    assert!(traced);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(begun.is_some_and(|begun| (now.as_secs_f64() - begun).abs() < 60.0));
    assert!(eventually(PATIENCE, || web.metric("lvs_tracers") == Some(0.0)));
}
