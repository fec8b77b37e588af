//! The page about the file says what the parser does.

use std::path::Path;

use super::super::keywords::{self, Key, Kind, Scope};
use super::super::reference;
use super::{Severity, told};

const BEGIN: &str = "<!-- Below: made from the parser's table of keywords. -->\n\n";

/// `LVS_UPDATE_DOCS=1 cargo test -p lvs-config` writes it anew.
#[test]
fn the_page_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ldirectord.cf.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, _) = page.split_once(BEGIN).expect("the page has the mark");
    let wanted = format!("{before}{BEGIN}{}\n", reference().trim_end());
    if std::env::var_os("LVS_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    assert!(
        page == wanted || std::env::var_os("LVS_UPDATE_DOCS").is_some(),
        "docs/ldirectord.cf.md is stale: LVS_UPDATE_DOCS=1 cargo test -p lvs-config"
    );
}

#[test]
fn every_keyword_stands_in_the_table_once() {
    let mut names: Vec<_> = keywords::all().map(|keyword| keyword.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    // The last key is the last of its enumeration.
    assert_eq!(count, Key::WeightBy as usize + 1);
}

#[test]
fn every_example_is_right() {
    for keyword in keywords::all() {
        let example = keyword.example;
        let text = if keyword.kind == Kind::Virtual {
            format!("{example}\n")
        } else if keyword.scope == Scope::REAL || keyword.key == Key::Real {
            format!("virtual = 192.0.2.10:80\n    {example}\n")
        } else if keyword.key == Key::Real6 || keyword.key == Key::Fallback6 {
            format!("virtual6 = [2001:db8::10]:80\n    {example}\n")
        } else if keyword.scope.has(Scope::VIRTUAL) {
            format!("virtual = 192.0.2.10:80\n    real = 10.0.0.1:80 gate\n    {example}\n")
        } else {
            format!("{example}\n")
        };
        assert_eq!(told(&text, Severity::Error), [], "{text}");
    }
}

#[test]
fn the_examples_of_the_documents_load_without_a_doubt() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let reading = super::parse(&text);
        assert_eq!(reading.diagnostics, [], "{}", path.display());
        count += 1;
    }
    assert!(count >= 3);
}
