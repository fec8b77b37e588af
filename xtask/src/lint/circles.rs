//! Circles of modules: the files and folders beside each other in a crate use each other in one direction.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use super::sources;
use crate::shell;

/// A path of names: of a module in its crate, or as `use` has it.
type Names = Vec<String>;
/// The modules of a crate, with the paths that each uses.
type Uses = BTreeMap<Names, BTreeSet<Names>>;

/// Fails if modules of a crate use each other in a circle.
pub(super) fn check() -> Result<()> {
    let mut crates: BTreeMap<String, Uses> = BTreeMap::new();
    for path in sources()? {
        let Some((name, module)) = module(&path) else {
            continue;
        };
        let text = fs::read_to_string(shell::workspace().join(&path))?;
        let used = paths(&without_tests(&text));
        let used = used.iter().map(|path| resolved(&module, path)).collect();
        crates.entry(name).or_default().insert(module, used);
    }
    for (name, uses) in &crates {
        if let Some(circle) = circle(uses) {
            bail!("modules of {name} use each other in a circle: {circle}");
        }
    }
    Ok(())
}

/// The crate and the module of a file; `None`: it is of tests, or a program of its own.
fn module(path: &Path) -> Option<(String, Names)> {
    let text = path.to_str()?;
    let (name, file) = text.split_once("/src/")?;
    let mut names: Names = file
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    let apart = |name: &String| name.contains("tests") || ["bin", "testing"].contains(&&**name);
    if names.iter().any(apart) {
        return None;
    }
    if names
        .last()
        .is_some_and(|last| ["mod", "lib", "main"].contains(&&**last))
    {
        names.pop();
    }
    Some((name.to_owned(), names))
}

/// The code without comments and without the unit tests at its end.
fn without_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join(" ")
}

/// The paths that begin with `crate`, `super` or `self`, with groups in braces expanded.
fn paths(code: &str) -> BTreeSet<Names> {
    let mut all = BTreeSet::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|it| it.is_alphanumeric() || ":_".contains(it)) {
                expand(&code[at..], &[], &mut all);
            }
        }
    }
    all
}

/// Adds the paths of a tree such as `a::{b, c::{d, e}}`; returns the rest of the code.
fn expand<'a>(mut code: &'a str, before: &[String], all: &mut BTreeSet<Names>) -> &'a str {
    let mut names = before.to_vec();
    code = code.trim_start();
    loop {
        let end = code
            .find(|it: char| !it.is_alphanumeric() && it != '_')
            .unwrap_or(code.len());
        let (name, rest) = code.split_at(end);
        if !name.is_empty() {
            names.push(name.to_owned());
        }
        code = rest;
        if let Some(group) = code.strip_prefix("::{") {
            code = group;
            loop {
                code = expand(code, &names, all).trim_start();
                match code.strip_prefix(',') {
                    Some(more) if !more.trim_start().starts_with('}') => code = more,
                    _ => break,
                }
            }
            return code
                .trim_start_matches([',', ' '])
                .strip_prefix('}')
                .unwrap_or(code);
        }
        match code.strip_prefix("::") {
            Some(more) => code = more,
            None => break,
        }
    }
    all.insert(names);
    code.strip_prefix(" as ").map_or(code, |alias| {
        alias.trim_start_matches(|it: char| it.is_alphanumeric() || it == '_')
    })
}

/// A path as it is from the root of the crate.
fn resolved(module: &[String], path: &[String]) -> Names {
    let (mut base, mut rest) = (module.to_vec(), path);
    while let [first, more @ ..] = rest {
        match &**first {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            "self" => {}
            _ => break,
        }
        rest = more;
    }
    base.extend_from_slice(rest);
    base
}

/// A circle among the modules of one folder, for people.
fn circle(uses: &Uses) -> Option<String> {
    // By folder: the names in it, each with those that it uses.
    let mut folders: BTreeMap<&[String], BTreeMap<&String, BTreeSet<&String>>> = BTreeMap::new();
    for (module, used) in uses {
        for path in used {
            let target = (0..=path.len()).rev().map(|length| &path[..length]);
            let target = target
                .into_iter()
                .find(|it| uses.contains_key(*it))
                .unwrap_or_default();
            let common = module
                .iter()
                .zip(target)
                .take_while(|(a, b)| a == b)
                .count();
            if let (Some(from), Some(to)) = (module.get(common), target.get(common)) {
                let folder = folders.entry(&module[..common]).or_default();
                folder.entry(from).or_default().insert(to);
            }
        }
    }
    for graph in folders.values() {
        for first in graph.keys() {
            let mut seen: BTreeMap<&String, &String> = BTreeMap::new();
            let mut next = vec![*first];
            while let Some(name) = next.pop() {
                for &used in graph.get(name).into_iter().flatten() {
                    if used == *first {
                        let mut way = vec![first.as_str()];
                        let mut at = name;
                        while at != *first {
                            way.push(at);
                            at = seen[at];
                        }
                        way.push(first);
                        way.reverse();
                        return Some(way.join(" -> "));
                    }
                    if seen.insert(used, name).is_none() {
                        next.push(used);
                    }
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(modules: &[(&str, &str)]) -> Uses {
        let names = |text: &str| text.split("::").map(str::to_owned).collect::<Names>();
        let one = |&(module, code): &(&str, &str)| {
            let module = names(module);
            let used = paths(&without_tests(code));
            let used = used.iter().map(|path| resolved(&module, path)).collect();
            (module, used)
        };
        modules.iter().map(one).collect()
    }

    #[test]
    fn a_circle_is_found_through_groups_and_other_modules() {
        let found = circle(&uses(&[
            ("a", "use crate::{b::{self, Thing}, c};"),
            ("b::inner", "use super::super::c::Other as Name;"),
            ("b", ""),
            ("c", "fn f() { crate::a::g() }"),
        ]));
        assert!(found.is_some_and(|it| it.contains("-> c ->") || it.starts_with("c ->")));
    }

    #[test]
    fn a_folder_that_uses_its_own_files_is_no_circle() {
        let found = circle(&uses(&[
            ("a", "use self::x::X; // use crate::b;"),
            (
                "a::x",
                "use super::y;\n#[cfg(test)]\nmod tests { use crate::b; }",
            ),
            ("a::y", ""),
            ("b", "use crate::a;"),
        ]));
        assert_eq!(found, None);
    }
}
