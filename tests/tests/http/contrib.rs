//! What `contrib` has for Prometheus and Grafana.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lvs_tests::lab::{programs, skipped};
use serde_json::Value;

use crate::web_lab::WebLab;

fn contrib(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../contrib")
        .join(path)
}

/// Runs promtool, which has to find nothing wrong.
fn promtool(arguments: &[&str], file: &Path) {
    let output = Command::new("promtool")
        .args(arguments)
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The expressions of the dashboard, with its variables replaced.
fn expressions() -> Vec<String> {
    let text = fs::read_to_string(contrib("grafana/director.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    let expressions = targets.map(|target| target["expr"].as_str().unwrap());
    expressions
        .map(|it| {
            let it = it.replace("$__rate_interval", "1m").replace("$job", "lvs");
            it.replace("$instance", ".*").replace("$service", ".*")
        })
        .collect()
}

#[test]
fn promtool_accepts_alert_rules_and_dashboard() {
    if skipped(programs(&["promtool"])) {
        return;
    }
    promtool(&["check", "rules"], &contrib("prometheus/alerts.yml"));
    promtool(&["test", "rules"], &contrib("prometheus/alerts_test.yml"));
    let rules: Vec<_> = expressions()
        .iter()
        .enumerate()
        .map(|(number, it)| {
            format!(
                "      - {{ record: \"panel:{number}\", expr: {} }}\n",
                Value::from(it.clone())
            )
        })
        .collect();
    let file = std::env::temp_dir().join(format!("lvs-dashboard-{}.yml", std::process::id()));
    fs::write(
        &file,
        format!(
            "groups:\n  - name: dashboard\n    rules:\n{}",
            rules.concat()
        ),
    )
    .unwrap();
    promtool(&["check", "rules"], &file);
    fs::remove_file(&file).unwrap();
}

#[test]
fn alert_rules_and_dashboard_name_metrics_that_exist() {
    let Some(web) = WebLab::open() else {
        return;
    };
    let text = web.ask("/metrics", &["-H", "Accept: text/plain"]).body;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let known: BTreeSet<_> = types.map(|line| line.split(' ').next().unwrap()).collect();
    let rules = fs::read_to_string(contrib("prometheus/alerts.yml")).unwrap();
    let rules = rules
        .lines()
        .filter(|line| !line.trim_start().starts_with("description"));
    let all: String = rules
        .map(|line| format!("{line}\n"))
        .chain(expressions())
        .collect();
    let words = all.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    let mut named = 0;
    for word in words.filter(|it| it.starts_with("lvs_") || it.starts_with("process_")) {
        named += 1;
        let family = word.strip_suffix("_bucket").unwrap_or(word);
        assert!(known.contains(family), "there is no {word} in {known:?}");
    }
    assert!(named > 30, "{named}");
}
