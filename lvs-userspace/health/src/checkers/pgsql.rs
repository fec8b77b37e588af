//! `service = pgsql`: PostgreSQL; the protocol is tokio-postgres', over a bounded connection of ours.
//!
//! With TLS where the server offers it, whatever its certificate: as PostgreSQL's own clients do by
//! default (libpq's `sslmode=prefer`), and servers may refuse a client without it.

use std::error::Error as _;
use std::io;
use std::pin::{Pin, pin};

use futures_util::{StreamExt as _, future};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use super::query::{LOGIN, QUERY, Query, Rows, expected, text};
use crate::checker::{Checker, Failure, Found, Lint, Negotiate, Options, Probe};
use crate::outcome::phrase;
use crate::probe::connection::Connection;
use crate::probe::tls::Tls;

/// A check that queries PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pgsql(pub Query);

impl Pgsql {
    pub(super) fn make(options: &Options) -> Checker {
        Self(Query::new(options)).into()
    }
}

impl Negotiate for Pgsql {
    fn name(&self) -> &'static str {
        "sql"
    }

    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let query = &self.0;
        let connection = Connection::open(probe).await?;
        probe.awaits(LOGIN);
        let mut configuration = Config::new();
        configuration
            .user(&query.credentials.login)
            .password(&query.credentials.password)
            .ssl_mode(SslMode::Prefer)
            .application_name("lvsd");
        if !query.database.is_empty() {
            configuration.dbname(&query.database);
        }
        let (client, connection) = configuration
            .connect_raw(connection, Encryption)
            .await
            .map_err(|error| failure(&error, LOGIN))?;
        if query.query.is_empty() {
            return Ok("login".to_owned());
        }
        probe.awaits(QUERY);
        // The connection moves the bytes of the client: both belong to this one future.
        let asking = pin!(ask(&client, query));
        match future::select(asking, connection).await {
            future::Either::Left((found, _)) => found,
            // It has come to its end or its bound: what came before may be enough.
            future::Either::Right((ended, asking)) => match (asking.await, ended) {
                (Err(Failure::Io { .. }), Err(error)) => Err(failure(&error, QUERY)),
                (found, _) => found,
            },
        }
    }

    fn lint(&self, lint: &mut Lint) {
        self.0.lint(lint);
    }
}

/// Goes on with TLS, when the server has agreed to it.
struct Encryption;

impl<'p> TlsConnect<Connection<'p>> for Encryption {
    type Stream = Connection<'p>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, Failure>> + Send + 'p>>;

    fn connect(self, connection: Connection<'p>) -> Self::Future {
        Box::pin(async move {
            let unverified = Tls {
                unverified: true,
                ..Tls::default()
            };
            let connection = connection.start_tls(&unverified).await?;
            connection.awaits(LOGIN);
            Ok(connection)
        })
    }
}

impl TlsStream for Connection<'_> {
    fn channel_binding(&self) -> ChannelBinding {
        // It would only prove that the certificate is the server's, and it is not looked at.
        ChannelBinding::none()
    }
}

async fn ask(client: &Client, query: &Query) -> Found {
    let failed = |error| failure(&error, QUERY);
    let messages = client
        .simple_query_raw(&query.query)
        .await
        .map_err(failed)?;
    let mut messages = pin!(messages);
    let mut rows = Rows::new(query);
    while let Some(message) = messages.next().await {
        if let SimpleQueryMessage::Row(row) = message.map_err(failed)? {
            let columns = (0..row.len()).map(|index| {
                row.try_get(index)
                    .ok()
                    .flatten()
                    .map(std::borrow::Cow::from)
            });
            if rows.add(&text(columns)) {
                break;
            }
        }
    }
    rows.outcome()
}

/// A message of the server is an answer; the rest comes from the connection.
fn failure(error: &tokio_postgres::Error, awaited: &'static str) -> Failure {
    if let Some(said) = error.as_db_error() {
        return Failure::answer(
            phrase(
                &format!("{awaited} {} {}", said.severity(), said.code().code()),
                said.message(),
            ),
            expected(awaited),
        );
    }
    if error.is_closed() {
        return Failure::closed(awaited);
    }
    let source = error.source();
    if let Some(Failure::Io { awaited, source }) = source.and_then(|source| source.downcast_ref()) {
        return io_failure(source, awaited);
    }
    let source = source.and_then(|source| source.downcast_ref());
    source.map_or_else(
        || Failure::answer(format!("{awaited}: {error}"), "PostgreSQL"),
        |source: &io::Error| io_failure(source, awaited),
    )
}

/// An error of the connection, or its bound.
fn io_failure(error: &io::Error, awaited: &'static str) -> Failure {
    let bound = error.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(Failure::TooLong { limit }) = bound {
        return Failure::TooLong { limit: *limit };
    }
    let source = match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    };
    Failure::Io { awaited, source }
}
