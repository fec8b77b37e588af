//! Real servers beside those of the file: those of names, which name servers are asked for, and those added by hand.
//!
//! `client` asks name servers; `names` keeps the answers, and decides when to ask again (without I/O); `kept` is the
//! file that outlives the daemon.

pub(crate) mod by_hand;
mod client;
mod kept;
mod names;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use lvs_config::ldirectord::{Additions, ByHand, Queries, Query};
use lvs_health::model;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use self::client::Answer;
use self::names::Names;
use crate::config_file::{self, Sources};

/// Answers of name servers.
type Answers = Vec<(Query, Answer)>;

/// The files of a daemon, and the real servers that do not stand in them.
#[derive(Debug)]
pub(crate) struct Discovery {
    sources: Arc<Sources>,
    queries: Queries,
    names: Names,
    by_hand: Vec<ByHand>,
    /// Keeps servers over a restart.
    file: PathBuf,
    /// The part of that file that only a newer lvsd understands.
    newer: kept::NewerPart,
    /// Name servers are being asked.
    lookup: Option<JoinHandle<Answers>>,
}

impl Discovery {
    /// Nothing but what the file has kept.
    pub(crate) fn open(file: PathBuf) -> Self {
        let kept = kept::read(&file).unwrap_or_else(|error| {
            warn!(
                "real servers of names and those added by hand are lost: {}: {error}",
                file.display()
            );
            kept::Kept::default()
        });
        let (found, by_hand, newer) = kept.into_parts();
        for entry in newer.unknown() {
            let file = file.display();
            warn!("real servers of {file} are not understood, and left out: {entry}");
        }
        Self {
            sources: Arc::default(),
            queries: Queries::default(),
            newer,
            names: Names::new(found),
            by_hand,
            file,
            lookup: None,
        }
    }

    /// The same of other files; unknown names are looked up, which takes some seconds at most.
    pub(crate) async fn with(&self, sources: Sources) -> Self {
        let queries = sources.queries();
        let mut names = self.names.clone();
        if queries.nameserver != self.queries.nameserver {
            names.forget_times();
        }
        names.follow(&queries.names);
        let mut next = Self {
            sources: Arc::new(sources),
            newer: self.newer.clone(),
            names,
            by_hand: self.by_hand.clone(),
            file: self.file.clone(),
            queries,
            lookup: None,
        };
        let due = next.names.pop_due(Instant::now());
        let answers = client::look_up(next.queries.nameserver, due).await;
        next.record(answers);
        next
    }

    /// The configuration.
    pub(crate) fn build(&self) -> Result<model::Configuration, config_file::Error> {
        self.build_with(&self.by_hand)
    }

    /// The same with these servers added by hand.
    pub(crate) fn build_with(
        &self,
        by_hand: &[ByHand],
    ) -> Result<model::Configuration, config_file::Error> {
        self.sources.build(&Additions {
            found: self.names.found(),
            by_hand: by_hand.to_vec(),
        })
    }

    /// Waits until name servers are to be asked again, and for their answers. True: there are other servers than
    /// before. May be dropped at any time.
    pub(crate) async fn answered(&mut self) -> bool {
        loop {
            if let Some(lookup) = &mut self.lookup {
                let answers = lookup.await.unwrap_or_default();
                self.lookup = None;
                return self.record(answers);
            }
            match self.names.next_due() {
                Some(moment) => tokio::time::sleep_until(moment.into()).await,
                None => std::future::pending().await,
            }
            let due = self.names.pop_due(Instant::now());
            let lookup = client::look_up(self.queries.nameserver, due);
            self.lookup = Some(tokio::spawn(lookup));
        }
    }

    /// Records answers; returns whether any name has other servers than before.
    fn record(&mut self, answers: Answers) -> bool {
        let mut changed = false;
        for (query, answer) in answers {
            let news = self.names.record(&query, answer, Instant::now());
            changed |= news.changed;
            if let Some(line) = news.line {
                if news.trouble {
                    warn!("{line}");
                } else {
                    info!("{line}");
                }
            }
        }
        if changed && let Err(error) = self.keep(&self.by_hand) {
            let file = self.file.display();
            warn!("servers of names cannot be kept over a restart: {file}: {error}");
        }
        changed
    }

    /// Servers added by hand that are checked.
    pub(crate) fn by_hand(&self) -> &[ByHand] {
        &self.by_hand
    }

    /// Sets the servers added by hand.
    pub(crate) fn set_by_hand(&mut self, by_hand: Vec<ByHand>) {
        self.newer.follow(&by_hand);
        self.by_hand = by_hand;
    }

    /// Writes the file that outlives the daemon, with these servers added by hand.
    pub(crate) fn keep(&self, by_hand: &[ByHand]) -> std::io::Result<()> {
        kept::write(&self.file, &self.names.found(), by_hand, &self.newer)
    }

    /// The file that outlives the daemon.
    pub(crate) fn file(&self) -> &std::path::Path {
        &self.file
    }

    /// Names that no name server answers for, and why.
    pub(crate) fn troubles(&self) -> BTreeMap<String, String> {
        self.names.troubles()
    }
}

/// Servers of names, asked for now; and what is wrong with the answers.
pub(crate) fn look_up_now(queries: &Queries) -> (Additions, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let answers = match runtime {
        Ok(runtime) => runtime.block_on(client::look_up(queries.nameserver, queries.names.clone())),
        Err(error) => return (Additions::default(), vec![error.to_string()]),
    };
    let mut names = Names::default();
    names.follow(&queries.names);
    let mut problems = Vec::new();
    for (query, answer) in answers {
        let news = names.record(&query, answer, Instant::now());
        problems.extend(news.line.filter(|_| news.trouble));
    }
    let additions = Additions {
        found: names.found(),
        by_hand: Vec::new(),
    };
    (additions, problems)
}
