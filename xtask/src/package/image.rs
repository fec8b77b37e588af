//! The container image, as an archive in the layout of the Open Container Initiative: written as it is, without a
//! container engine and without a network.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{Job, sha256, write};
use crate::shell;

/// Authorities that health checks over TLS trust.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Makes the image of lvsd and lvsadm with the libraries that they need.
pub(super) fn make(job: &Job) -> Result<Vec<PathBuf>> {
    let root = root(job)?;
    let layout = job.scratch.join("image");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layer = job.scratch.join("layer.tar");
    archive(job, &root, &layer)?;
    let content = fs::read(&layer)?;
    let layer_digest = sha256(&content);
    fs::write(blobs.join(&layer_digest), &content)?;
    let layer_size = content.len();

    let date = Command::new("date")
        .args(["--utc", "+%Y-%m-%dT%H:%M:%SZ", "--date"])
        .arg(format!("@{}", job.epoch))
        .output()?;
    let created = String::from_utf8(date.stdout)?.trim().to_owned();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let labels = json!({
        "org.opencontainers.image.title": "lvs",
        "org.opencontainers.image.description": super::SUMMARY,
        "org.opencontainers.image.version": job.version,
        "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
        "org.opencontainers.image.created": created,
    });
    let config = json!({
        "created": created,
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Entrypoint": ["/usr/sbin/lvsd"],
            "Env": ["PATH=/usr/sbin:/usr/bin"],
            "Volumes": {"/run/lvs": {}, "/var/lib/lvs": {}},
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
        "history": [{"created": created, "created_by": "cargo xtask package"}],
    });
    let (config_digest, config_size) = blob(&blobs, &config)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": format!("sha256:{config_digest}"),
            "size": config_size,
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": format!("sha256:{layer_digest}"),
            "size": layer_size,
        }],
        "annotations": labels,
    });
    let (manifest_digest, manifest_size) = blob(&blobs, &manifest)?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{manifest_digest}"),
            "size": manifest_size,
            "platform": {"os": "linux", "architecture": architecture},
            "annotations": {"org.opencontainers.image.ref.name": job.version},
        }],
    });
    write(&layout.join("index.json"), &index.to_string(), 0o644)?;
    write(
        &layout.join("oci-layout"),
        &json!({"imageLayoutVersion": "1.0.0"}).to_string(),
        0o644,
    )?;
    let image = job
        .to
        .join(format!("lvs-{}-{architecture}.oci.tar", job.version));
    archive(job, &layout, &image)?;
    Ok(vec![image])
}

/// Makes the image's files: the programs, their libraries, authorities for TLS, users and empty folders.
fn root(job: &Job) -> Result<PathBuf> {
    let root = job.scratch.join("image-root");
    let mut needed = BTreeSet::new();
    for program in ["lvsd", "lvsadm"] {
        let from = job.root.join("usr/sbin").join(program);
        needed.extend(libraries(&from)?);
        copy(&from, &root.join("usr/sbin").join(program))?;
    }
    for library in &needed {
        copy(library, &root.join(library.strip_prefix("/")?))?;
    }
    if Path::new(AUTHORITIES).is_file() {
        copy(Path::new(AUTHORITIES), &root.join(&AUTHORITIES[1..]))?;
    }
    write(
        &root.join("etc/passwd"),
        "root:x:0:0:root:/:/nologin\nnobody:x:65534:65534:nobody:/:/nologin\n",
        0o644,
    )?;
    write(
        &root.join("etc/group"),
        "root:x:0:\nlvs:x:999:\nnogroup:x:65534:\n",
        0o644,
    )?;
    for folder in [
        "etc/lvs",
        "run/lvs",
        "var/lib/lvs",
        "var/log",
        "sys/fs/bpf",
        "proc",
        "tmp",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    Ok(root)
}

/// Writes a document to the blobs: its digest and its size.
fn blob(blobs: &Path, document: &Value) -> Result<(String, usize)> {
    let text = document.to_string();
    let digest = sha256(text.as_bytes());
    fs::write(blobs.join(&digest), &text)?;
    Ok((digest, text.len()))
}

/// Packs a folder, the same each time.
fn archive(job: &Job, folder: &Path, to: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.args(["--format=ustar", "--mode=u=rwX,go=rX"]);
    tar.arg(format!("--mtime=@{}", job.epoch));
    tar.arg("-C").arg(folder).arg("-cf").arg(to).arg(".");
    shell::quiet(&mut tar)
}

/// The shared libraries of a program, with the loader, by their paths here.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("cannot start ldd")?;
    if !output.status.success() {
        bail!("ldd fails for {}", program.display());
    }
    let text = String::from_utf8(output.stdout)?;
    // `libc.so.6 => /lib/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

/// Copies the file behind a path, whatever links lead to it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
