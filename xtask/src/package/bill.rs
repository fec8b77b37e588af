//! The bill of materials: every crate that is linked into lvsd and lvsadm, in CycloneDX's JSON.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use cargo_metadata::{CargoOpt, DependencyKind, MetadataCommand, PackageId};
use serde_json::json;

use super::{Job, write};
use crate::shell;

/// The programs whose crates are listed.
const PROGRAMS: [&str; 2] = ["lvsd", "lvsadm"];

/// Writes the bill.
pub(super) fn make(job: &Job) -> Result<Vec<PathBuf>> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = MetadataCommand::new()
        .cargo_path(shell::cargo_program())
        .current_dir(shell::workspace())
        .features(CargoOpt::SomeFeatures(Vec::new()))
        .other_options(
            ["--locked", "--filter-platform", &target]
                .map(str::to_owned)
                .to_vec(),
        )
        .exec()
        .context("cargo metadata fails")?;
    let resolve = metadata
        .resolve
        .as_ref()
        .context("cargo resolves nothing")?;
    let is_program = |id: &PackageId| {
        let package = &metadata[id];
        PROGRAMS.contains(&package.name.as_str())
    };
    let mut linked: BTreeSet<&PackageId> = BTreeSet::new();
    let mut next: Vec<_> = metadata
        .workspace_members
        .iter()
        .filter(|id| is_program(id))
        .collect();
    while let Some(id) = next.pop() {
        if !linked.insert(id) {
            continue;
        }
        let node = resolve.nodes.iter().find(|node| node.id == *id);
        // Crates of tests and of build scripts are in no program.
        let dependencies = node
            .into_iter()
            .flat_map(|node| &node.deps)
            .filter(|dependency| {
                let kinds = &dependency.dep_kinds;
                kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
            });
        next.extend(dependencies.map(|dependency| &dependency.pkg));
    }
    let mut components: Vec<_> = linked
        .iter()
        .map(|id| &metadata[id])
        .map(|package| {
            let (name, version) = (package.name.as_str(), package.version.to_string());
            let mut component = json!({
                "type": "library",
                "name": name,
                "version": version,
                "bom-ref": format!("{name}@{version}"),
            });
            if package.source.is_some() {
                component["purl"] = format!("pkg:cargo/{name}@{version}").into();
            }
            if let Some(license) = &package.license {
                component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
            }
            component
        })
        .collect();
    components.sort_by_key(|component| component["bom-ref"].to_string());
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": "lvs", "version": job.version},
        },
        "components": components,
    });
    let path = job.to.join(format!("lvs-{}.cdx.json", job.version));
    write(&path, &(serde_json::to_string_pretty(&bill)? + "\n"), 0o644)?;
    Ok(vec![path])
}
