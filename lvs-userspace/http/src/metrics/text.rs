//! The formats: OpenMetrics, and the text format of Prometheus before it.

use std::fmt;
use std::sync::Arc;

use lvs_api::rows::rows;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;

use super::encoder::Families;
use super::query::Query;
use super::{director, node_exporter, process, servers, services};
use crate::snapshot::Snapshot;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    OpenMetrics,
    Prometheus,
}

impl Format {
    /// The best that a client accepts.
    pub(crate) fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes what is asked for of a snapshot.
pub(crate) fn write(
    out: &mut impl fmt::Write,
    format: Format,
    snapshot: Arc<Snapshot>,
    query: Query,
) -> fmt::Result {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Director { snapshot, query }));
    match format {
        Format::OpenMetrics => text::encode(out, &registry),
        Format::Prometheus => prometheus_text::encode(out, &registry),
    }
}

/// The collector of a snapshot.
#[derive(Debug)]
struct Director {
    snapshot: Arc<Snapshot>,
    query: Query,
}

impl Collector for Director {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        let mut rows = rows(&self.snapshot.services, self.snapshot.health.as_ref());
        rows.retain(|row| self.query.wants(&row.label, row.name()));
        if self.query.node_exporter {
            return node_exporter::encode(&mut families, &rows);
        }
        if self.query.director {
            director::encode(&mut families, &self.snapshot)?;
            process::encode(&mut families)?;
        }
        if self.query.services {
            services::encode(&mut families, &rows)?;
        }
        if self.query.servers {
            servers::encode(&mut families, &rows)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_best_that_is_accepted() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::accepted("*/*"), Format::Prometheus);
    }
}
