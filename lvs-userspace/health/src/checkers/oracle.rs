//! `service = oracle`: Oracle, whose protocol is its own, by its client program, `sqlplus`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use lvs_process::commands;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::query::{QUERY, Query, Rows};
use crate::checker::{Checker, Failure, Found, Lint, Negotiate, Options, Probe};
use crate::outcome::phrase;
use crate::probe::error::reason;
use crate::probe::process_group::Group;

const PROGRAM: &str = "sqlplus";
/// Bytes that the program may write.
const OUTPUT: usize = 1 << 20;

/// The form of rows: one a line and nothing else, with tabs between the columns. `&` is a character.
const SETTINGS: &str = "\
SET DEFINE OFF
SET HEADING OFF
SET FEEDBACK OFF
SET PAGESIZE 0
SET LINESIZE 32767
SET TRIMOUT ON
SET TAB OFF
SET COLSEP '\t'
SET NULL NULL
WHENEVER OSERROR EXIT FAILURE
WHENEVER SQLERROR EXIT FAILURE
";

/// A check that queries Oracle.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Oracle(pub Query);

impl Oracle {
    pub(super) fn make(options: &Options) -> Checker {
        Self(Query::new(options)).into()
    }
}

impl Negotiate for Oracle {
    const PROGRAM: Option<&'static str> = Some(PROGRAM);

    fn name(&self) -> &'static str {
        "sql"
    }

    async fn probe(&self, probe: &Probe<'_>) -> Found {
        probe.awaits(QUERY);
        let session = session(probe.target(), &self.0)?;
        let failed =
            |error: io::Error| Failure::Own(format!("cannot run {PROGRAM}: {}", reason(&error)));
        let mut command = Command::new(program());
        command
            // Silently, with one attempt to log in; name and password are read from the input, where
            // other users of this machine do not see them.
            .args(["-S", "-L"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let child = commands::spawn(command, probe.user).await;
        let mut child = child.map_err(failed)?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut group = Group::new(child);
        if let Some(mut input) = input {
            // A program that has ended already has written why.
            input.write_all(session.as_bytes()).await.ok();
        }
        let mut said = Vec::new();
        if let Some(output) = output {
            let limit = OUTPUT as u64 + 1;
            output
                .take(limit)
                .read_to_end(&mut said)
                .await
                .map_err(failed)?;
        }
        if said.len() > OUTPUT {
            return Err(Failure::TooLong { limit: OUTPUT });
        }
        let ended_well = group.wait().await.map_err(failed)?.success();
        outcome(&String::from_utf8_lossy(&said), ended_well, &self.0)
    }

    fn lint(&self, lint: &mut Lint) {
        self.0.lint(lint);
    }
}

/// Found by way of PATH, or where Oracle's own installer puts it.
fn program() -> PathBuf {
    match std::env::var_os("ORACLE_HOME") {
        Some(home) => PathBuf::from(home).join("bin").join(PROGRAM),
        None => PROGRAM.into(),
    }
}

/// The input of the program.
fn session(server: SocketAddr, query: &Query) -> Result<String, Failure> {
    let (login, password) = (&query.credentials.login, &query.credentials.password);
    let database = &query.database;
    let query = query.query.trim_end().trim_end_matches(';');
    if [&**login, password, database, query]
        .iter()
        .any(|text| text.contains(['\r', '\n', '\0']))
        || password.contains('"')
    {
        return Err(Failure::Own(format!(
            "{PROGRAM} takes no line end, and no quote in a password"
        )));
    }
    let mut session = format!("{login}/\"{password}\"@//{server}/{database}\n");
    session.push_str(SETTINGS);
    if !query.is_empty() {
        session.push_str(query);
        session.push_str(";\n");
    }
    session.push_str("EXIT\n");
    Ok(session)
}

/// The outcome that the program's lines mean.
fn outcome(said: &str, ended_well: bool, query: &Query) -> Found {
    let mut lines = said
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty());
    if !ended_well {
        // Its errors have numbers: ORA-01017, SP2-0306, TNS-12541.
        let error = said.lines().find(|line| {
            ["ORA-", "SP2-", "TNS-"]
                .iter()
                .any(|kind| line.starts_with(kind))
        });
        let error = error.or(lines.next()).unwrap_or_default();
        return Err(Failure::answer(phrase(QUERY, error), "no error"));
    }
    if query.query.is_empty() {
        return Ok("login".to_owned());
    }
    let mut rows = Rows::new(query);
    for line in lines {
        if rows.add(line) {
            break;
        }
    }
    rows.outcome()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Credentials;

    fn asked(password: &str, query: &str) -> Query {
        Query {
            credentials: Credentials {
                login: "scott".to_owned(),
                password: password.to_owned(),
            },
            database: "ORCL".to_owned(),
            query: query.to_owned(),
            receive: None,
        }
    }

    #[test]
    fn the_session_logs_in_and_asks() {
        let server = "[fd00::1]:1521".parse().unwrap();
        let typed = |password, query| session(server, &asked(password, query));
        let text = typed("ti&ger", "SELECT 1 FROM dual;").unwrap();
        assert!(text.starts_with("scott/\"ti&ger\"@//[fd00::1]:1521/ORCL\nSET DEFINE OFF\n"));
        assert!(text.ends_with("\nSELECT 1 FROM dual;\nEXIT\n"));
        assert!(typed("x\nHOST rm", "SELECT 1").is_err());
        assert!(typed("x\"", "SELECT 1").is_err());
    }

    #[test]
    fn rows_are_good_and_errors_are_text() {
        let text = |said, ended_well| {
            outcome(said, ended_well, &asked("tiger", "SELECT 1"))
                .unwrap_or_else(|failure| failure.to_string())
        };
        assert_eq!(text("\n1\t2\n\n", true), "row \"1\\t2\"");
        assert_eq!(text("\n", true), "no row, expected one or more");
        assert_eq!(
            text("ERROR:\nORA-01017: invalid username/password\n", false),
            "answer to the query \"ORA-01017: invalid username/password\", expected no error"
        );
        assert_eq!(
            text("", false),
            "answer to the query \"\", expected no error"
        );
    }
}
