//! A set-up page of the documents, followed word by word.
//!
//! A line of prose that begins with a path in backquotes introduces the file in the fence after it:
//!
//! ```text
//! `/etc/ha.d/authkeys` on both directors (mode 600):
//! ```
//!
//! `on lvs1` puts it there alone, else it is put on both directors. In a fence of the kind `console` a line
//! `HOST# COMMAND` is run on the host: `both` stands for the directors, `www` for the real servers. Lines
//! without a prompt are what the last command says, sooner or later; `…` stands for anything.

use std::collections::BTreeSet;
use std::path::Path;

use super::Site;
use crate::eventually;

/// A page, and which of its sections have been followed.
pub struct Page {
    sections: Vec<Section>,
    followed: BTreeSet<String>,
}

struct Section {
    title: String,
    steps: Vec<Step>,
}

enum Step {
    File {
        hosts: Vec<String>,
        path: String,
        mode: u32,
        content: String,
    },
    Command {
        hosts: Vec<String>,
        line: String,
        said: Vec<String>,
    },
}

impl Page {
    /// Reads a page in `docs`.
    ///
    /// # Panics
    ///
    /// When there is none of that name, or nobody could follow it.
    pub fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let mut sections = Vec::new();
        let (mut prose, mut fence) = ("", None::<(&str, Vec<&str>)>);
        for line in text.lines() {
            match (&mut fence, line.strip_prefix("```")) {
                (None, Some(kind)) => fence = Some((kind, Vec::new())),
                (None, None) => {
                    if let Some(title) = line.strip_prefix("## ") {
                        let title = title.to_owned();
                        sections.push(Section {
                            title,
                            steps: Vec::new(),
                        });
                    }
                    if !line.is_empty() {
                        prose = line;
                    }
                }
                (Some((kind, lines)), Some(_)) => {
                    let steps = match *kind {
                        "console" => commands(lines),
                        _ => file(prose, lines).into_iter().collect(),
                    };
                    if !steps.is_empty() {
                        sections
                            .last_mut()
                            .expect("steps are in a section")
                            .steps
                            .extend(steps);
                    }
                    (fence, prose) = (None, "");
                }
                (Some((_, lines)), None) => lines.push(line),
            }
        }
        Self {
            sections,
            followed: BTreeSet::new(),
        }
    }

    /// Runs the commands of a section and writes its files.
    ///
    /// # Panics
    ///
    /// When there is no such section, or it goes otherwise than the page says.
    #[track_caller]
    pub fn follow(&mut self, site: &Site, title: &str) {
        let section = self.sections.iter().find(|section| section.title == title);
        let section = section.unwrap_or_else(|| panic!("the page has no section `{title}'"));
        for step in &section.steps {
            step.take(site);
        }
        self.followed.insert(title.to_owned());
    }

    /// Nothing on the page was left out but sections that another story follows.
    ///
    /// # Panics
    ///
    /// When something was.
    #[track_caller]
    pub fn was_followed_but(self, others: &[&str]) {
        for Section { title, steps } in &self.sections {
            let followed = self.followed.contains(title) || others.contains(&title.as_str());
            assert!(followed || steps.is_empty(), "nobody tried `{title}'");
        }
    }
}

impl Step {
    #[track_caller]
    fn take(&self, site: &Site) {
        match self {
            Self::File {
                hosts,
                path,
                mode,
                content,
            } => {
                for host in hosts {
                    site.director(host).write(path, content, *mode).unwrap();
                }
            }
            Self::Command { hosts, line, said } => {
                for host in hosts {
                    run(site, host, line, said);
                }
            }
        }
    }
}

#[track_caller]
fn run(site: &Site, host: &str, line: &str, expected: &[String]) {
    // Only directors have files of their own.
    let harmless = ["ip ", "curl ", "sysctl -w net."];
    assert!(
        host.starts_with("lvs") || harmless.iter().any(|start| line.starts_with(start)),
        "{host} must not run `{line}'"
    );
    let mut last = String::new();
    let fits = |said: &str| {
        let lines: Vec<_> = said.trim_end().lines().collect();
        lines.len() == expected.len()
            && lines
                .iter()
                .zip(expected)
                .all(|(line, pattern)| matches(line.trim_end(), pattern))
    };
    let done = eventually(Site::PATIENCE, || {
        let ended = site.run(host, line).unwrap();
        last = format!("{ended:?}");
        // A command that only does something is given once.
        assert!(
            ended.success || !expected.is_empty(),
            "{host}# {line}: {last}"
        );
        expected.is_empty() || fits(&ended.said)
    });
    assert!(done, "{host}# {line}: {last}, not {expected:?}");
}

/// Compares a line with a pattern in which `…` stands for anything.
fn matches(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    for (number, part) in pattern.split('…').enumerate() {
        let found = if number == 0 {
            rest.strip_prefix(part)
        } else {
            rest.find(part).map(|place| &rest[place + part.len()..])
        };
        match found {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.is_empty() || pattern.ends_with('…')
}

fn hosts(name: &str) -> Vec<String> {
    let names: &[&str] = match name {
        "both" => &["lvs1", "lvs2"],
        "www" => &["www1", "www2"],
        name => &[name],
    };
    names.iter().map(|&name| name.to_owned()).collect()
}

fn file(prose: &str, lines: &[&str]) -> Option<Step> {
    let (path, rest) = prose.strip_prefix("`/")?.split_once('`')?;
    let host = ["lvs1", "lvs2"]
        .into_iter()
        .find(|host| rest.contains(&format!("on {host}")));
    let mode = rest
        .split_once("(mode ")
        .and_then(|(_, mode)| mode.split_once(')'));
    Some(Step::File {
        hosts: hosts(host.unwrap_or("both")),
        path: format!("/{path}"),
        mode: mode.map_or(0o644, |(mode, _)| u32::from_str_radix(mode, 8).unwrap()),
        content: lines.join("\n") + "\n",
    })
}

fn commands(lines: &[&str]) -> Vec<Step> {
    let mut steps = Vec::new();
    for line in lines {
        let prompt = line.split_once("# ").filter(|(host, _)| {
            ["both", "www", "www1", "www2", "lvs1", "lvs2", "client"].contains(host)
        });
        match (prompt, steps.last_mut()) {
            (Some((host, line)), _) => steps.push(Step::Command {
                hosts: hosts(host),
                line: line.to_owned(),
                said: Vec::new(),
            }),
            (None, Some(Step::Command { said, .. })) => said.push((*line).to_owned()),
            (None, _) => panic!("`{line}' is no command"),
        }
    }
    steps
}
