//! A certificate authority of the tests, made with openssl.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use lvs_health::probe::tls::Tls;
use lvs_tests::lab::Island;

/// An authority that nobody but the tests knows.
pub(crate) struct Authority<'a> {
    island: &'a Island,
    folder: PathBuf,
}

impl<'a> Authority<'a> {
    pub(crate) fn new(island: &'a Island) -> Result<Self> {
        let folder = island.make_folder("authority", "root")?;
        let authority = Self { island, folder };
        authority.make("authority", "CA:TRUE", None, &[])?;
        Ok(authority)
    }

    /// Its certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// Makes a certificate for these names, and returns it and its key.
    pub(crate) fn certify(&self, names: &[&str]) -> Result<(PathBuf, PathBuf)> {
        let file = names.join("-");
        let signer = [self.file(), self.folder.join("authority.key")];
        self.make(&file, "CA:FALSE", Some(signer), names)
    }

    /// TLS as it is verified against this authority; with a name, against that too.
    pub(crate) fn tls(&self, name: Option<&str>) -> Tls {
        Tls {
            name: name.map(str::to_owned),
            authorities: Some(self.file()),
            unverified: false,
        }
    }

    fn make(
        &self,
        file: &str,
        constraint: &str,
        signer: Option<[PathBuf; 2]>,
        names: &[&str],
    ) -> Result<(PathBuf, PathBuf)> {
        let configuration = self.folder.join(format!("{file}.cnf"));
        let names: Vec<_> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let names = match &names[..] {
            [] => String::new(),
            names => format!("subjectAltName = {}\n", names.join(",")),
        };
        fs::write(
            &configuration,
            format!(
                "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = extensions\n\
                 [name]\nCN = {file}\n[extensions]\n\
                 basicConstraints = critical,{constraint}\n{names}"
            ),
        )?;
        let (certificate, key) = (
            self.folder.join(format!("{file}.pem")),
            self.folder.join(format!("{file}.key")),
        );
        let text = |path: &Path| path.display().to_string();
        let mut arguments: Vec<_> = "req -x509 -nodes -days 2 -newkey ec \
             -pkeyopt ec_paramgen_curve:prime256v1"
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        arguments.extend(["-config".into(), text(&configuration)]);
        arguments.extend([
            "-keyout".into(),
            text(&key),
            "-out".into(),
            text(&certificate),
        ]);
        if let Some([certificate, key]) = signer {
            arguments.extend([
                "-CA".into(),
                text(&certificate),
                "-CAkey".into(),
                text(&key),
            ]);
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        self.island.run_as("root", "openssl", &arguments)?;
        Ok((certificate, key))
    }
}
