//! Keywords that are written twice, are old, or have no effect where they stand.

use std::collections::HashMap;

use super::super::diagnostic::Diagnostic;
use super::super::keywords::{self, Key};
use super::super::reader::Section;
use super::super::settings::{CheckType, Scopes, Settings};

/// The globals.
pub(super) fn globals(settings: &Settings, diagnostics: &mut Vec<Diagnostic>) {
    common(settings, diagnostics);
}

/// A virtual service.
pub(super) fn section(section: &Section, globals: &Settings, diagnostics: &mut Vec<Diagnostic>) {
    let settings = &section.settings;
    common(settings, diagnostics);
    let mut warn = |key: Key, problem: &str, hint: &str| {
        if let Some(entry) = settings.get(key) {
            diagnostics.push(Diagnostic::warning(entry.line, problem).hint(hint));
        }
    };
    let scopes = [settings, globals];
    let scopes = Scopes(&scopes);
    if !scopes.flag(Key::Fork) {
        warn(
            Key::CheckInterval,
            "checkinterval below a virtual service has no effect without fork = yes, as with ldirectord",
            "interval has",
        );
    }
    if settings.get(Key::Persistent).is_none() {
        warn(
            Key::Netmask,
            "netmask has no effect without persistent",
            "add persistent, or remove it",
        );
    }
    if settings.get(Key::Check).is_some() {
        warn(
            Key::CheckType,
            "checktype has no effect: the check lines are the checks",
            "make it a check line, or remove it",
        );
    }
    let limited = [Key::LimitNew, Key::LimitOpen, Key::LimitPackets];
    if limited
        .iter()
        .all(|key| scopes.number(*key).unwrap_or(0) == 0)
    {
        warn(
            Key::LimitPrefix,
            "limitprefix has no effect without a limit",
            "add limitnew, limitopen or limitpackets, or remove it",
        );
    }
    let external = matches!(
        scopes.check_type(Key::CheckType),
        Some(CheckType::External { .. })
    );
    if !external && settings.get(Key::Check).is_none() {
        warn(
            Key::CheckCommand,
            "checkcommand has no effect without checktype = external",
            "add it, or remove checkcommand",
        );
        let sql = scopes.text(Key::Service) == Some("oracle");
        if !sql {
            warn(
                Key::CheckUser,
                "checkuser has no effect: no check runs a command",
                "remove it",
            );
        }
    }
    if scopes.text(Key::Observe) != Some("path") {
        for (key, what) in [
            (Key::MaxFails, "maxfails"),
            (Key::FailTimeout, "failtimeout"),
            (Key::OnError, "onerror"),
        ] {
            let problem = format!("{what} has no effect without observe = path");
            warn(key, &problem, "add it, or remove the line");
        }
    }
    for (key, what) in [
        (Key::QuorumUp, "quorum_up"),
        (Key::QuorumDown, "quorum_down"),
    ] {
        if settings.get(Key::Quorum).is_none() {
            let problem = format!("{what} has no effect without quorum");
            warn(key, &problem, "add quorum, or remove it");
        }
    }
}

fn common(settings: &Settings, diagnostics: &mut Vec<Diagnostic>) {
    if let Some(entry) = settings.get(Key::CheckCount) {
        diagnostics.push(
            Diagnostic::warning(entry.line, "checkcount is an old word")
                .hint("fall counts failures of every check"),
        );
    }
    if let (Some(old), Some(_)) = (settings.get(Key::FailureCount), settings.get(Key::Fall)) {
        diagnostics.push(
            Diagnostic::warning(old.line, "failurecount has no effect beside fall")
                .hint("remove it"),
        );
    }
    let mut last: HashMap<Key, usize> = HashMap::new();
    for entry in settings.entries() {
        let many = matches!(
            entry.key,
            Key::Real
                | Key::Real6
                | Key::Servers
                | Key::Check
                | Key::Execute
                | Key::Allow
                | Key::Deny
        );
        let Some(before) = last.insert(entry.key, entry.line).filter(|_| !many) else {
            continue;
        };
        let name = keywords::all()
            .find(|keyword| keyword.key == entry.key)
            .map_or("", |keyword| keyword.name);
        let problem = format!(
            "{name} stands here and again on line {}: the last one holds",
            entry.line
        );
        let hint = match entry.key {
            Key::Fallback | Key::Fallback6 => "write several servers on one line, with commas",
            _ => "remove one of them",
        };
        diagnostics.push(Diagnostic::warning(before, problem).hint(hint));
    }
}
