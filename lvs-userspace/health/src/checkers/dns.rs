//! `service = dns`: a name is asked for (RFC 1035), and a record of the answer has to match.

use std::net::IpAddr;
use std::str::FromStr;

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::rdata::AllRecordData;

use crate::checker::{Checker, Failure, Found, Lint, Negotiate, Options, Probe};
use crate::outcome::excerpt;
use crate::pattern::Pattern;
use crate::probe::connection::Connection;
use crate::probe::datagram::{self, Sending};

/// Types of DNS records: the values of `record`.
pub const TYPES: &[&str] = &[
    "A", "AAAA", "ANY", "CAA", "CNAME", "DS", "DNSKEY", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA",
    "SRV", "SVCB", "TXT",
];

/// Bytes of an answer over UDP (RFC 6891, section 6.2.5): never fragmented.
const PAYLOAD: u16 = 1232;
/// Records that are looked at.
const RECORDS: usize = 1000;
/// Records that are repeated in a message.
const SHOWN: usize = 3;

type Query = Message<Vec<u8>>;

/// A check that asks for a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dns {
    /// Name that is asked for.
    pub name: String,
    /// Type of the records, `A`.
    pub record: String,
    /// Pattern that one of the records must match; none: there has to be one.
    pub receive: Option<Pattern>,
    /// Over TCP.
    pub tcp: bool,
}

impl Dns {
    pub(super) fn make(options: &Options) -> Checker {
        let name = options.bare_request().to_owned();
        let record = options.record.clone().unwrap_or_else(|| {
            let record = match name.parse::<IpAddr>() {
                Ok(_) => "PTR",
                Err(_) => "A",
            };
            record.to_owned()
        });
        Self {
            name,
            record,
            receive: options.receive.clone(),
            tcp: options.tcp,
        }
        .into()
    }
}

impl Negotiate for Dns {
    fn name(&self) -> &'static str {
        "dns"
    }

    /// Asks for records of a type; one of them has to match, or, without a pattern, to be there.
    ///
    /// An address instead of a name is asked for in reverse, as ldirectord does. An answer that is too
    /// long for UDP is asked for again over TCP (RFC 7766, section 5).
    async fn probe(&self, probe: &Probe<'_>) -> Found {
        let (name, record) = asked(&self.name, &self.record).map_err(Failure::Own)?;
        let query = query(&name, record).map_err(Failure::Own)?;
        let mut answer = None;
        if !self.tcp {
            let over_udp = over_udp(probe, &query).await?;
            answer = Some(over_udp).filter(|answer| !answer.header().tc());
        }
        let answer = match answer {
            Some(answer) => answer,
            None => over_tcp(probe, &query).await?,
        };
        judge(&answer, record, self.receive.as_ref())
    }

    fn lint(&self, lint: &mut Lint) {
        if self.name.is_empty() {
            lint.warn(
                "the check can never hold: no name is asked for",
                "add request = \"name\"",
            );
        } else if self.receive.is_none() {
            lint.warn(
                "without receive any answer is good (with ldirectord none ever was)",
                "add receive = \"address or name\"",
            );
        }
    }
}

/// Name and type that are meant.
fn asked(name: &str, record: &str) -> Result<(Name<Vec<u8>>, Rtype), String> {
    let record = Rtype::from_str(record).map_err(|_| format!("\"{record}\" is no record type"))?;
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let (Ok(address), Rtype::A | Rtype::PTR) = (bare.parse::<IpAddr>(), record) {
        let name = Name::reverse_from_addr(address).map_err(|error| error.to_string())?;
        return Ok((name, Rtype::PTR));
    }
    let name =
        Name::vec_from_str(name).map_err(|error| format!("\"{name}\" is no name: {error}"))?;
    Ok((name, record))
}

fn query(name: &Name<Vec<u8>>, record: Rtype) -> Result<Query, String> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|error| error.to_string())?;
    let mut query = MessageBuilder::new_vec();
    query.header_mut().set_id(u16::from_ne_bytes(id));
    query.header_mut().set_rd(true);
    let mut query = query.question();
    query
        .push((name, record))
        .map_err(|error| error.to_string())?;
    let mut query = query.additional();
    query
        .opt(|options| {
            options.set_udp_payload_size(PAYLOAD);
            Ok(())
        })
        .map_err(|error| error.to_string())?;
    Ok(query.into_message())
}

async fn over_udp(probe: &Probe<'_>, query: &Query) -> Result<Query, Failure> {
    let socket = datagram::open(probe).await?;
    let accept = |answer: &[u8]| answer_to(query, answer.to_vec());
    datagram::ask(probe, &socket, query.as_slice(), Sending::Repeated, accept).await
}

/// Each message is preceded by its length (RFC 1035, section 4.2.2).
async fn over_tcp(probe: &Probe<'_>, query: &Query) -> Result<Query, Failure> {
    let mut connection = Connection::open(probe).await?;
    let message = query.as_slice();
    let length = u16::try_from(message.len())
        .map_err(|_| Failure::Own("a query of more than 65535 bytes".to_owned()))?;
    connection
        .send(&[&length.to_be_bytes(), message].concat())
        .await?;
    let length = connection.exactly(2, "answer").await?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let answer = connection.exactly(length, "rest of the answer").await?;
    answer_to(query, answer.to_vec())
        .ok_or_else(|| Failure::answer("something else", "an answer to the query"))
}

/// An answer, if these bytes are one to this query: anything else that comes over UDP is ignored
/// (RFC 5452, section 9.1).
fn answer_to(query: &Query, answer: Vec<u8>) -> Option<Query> {
    let answer = Message::from_octets(answer).ok()?;
    // A server that cannot even read the question may not repeat it.
    let repeats = answer.header_counts().qdcount() > 0;
    let same_id = answer.header().qr() && answer.header().id() == query.header().id();
    let failed = same_id && !repeats && answer.header().rcode() != Rcode::NOERROR;
    (failed || answer.is_answer(query)).then_some(answer)
}

fn judge(answer: &Query, record: Rtype, receive: Option<&Pattern>) -> Found {
    let expected = || receive.map_or_else(|| format!("{record} records"), ToString::to_string);
    let code = answer.header().rcode();
    if code != Rcode::NOERROR {
        return Err(Failure::answer(code.to_string(), expected()));
    }
    let broken = || Failure::answer("a broken answer", expected());
    let mut records = Vec::new();
    for found in answer.answer().map_err(|_| broken())?.take(RECORDS) {
        let found = found.map_err(|_| broken())?;
        if found.rtype() == record || record == Rtype::ANY {
            let found = found.to_any_record().map_err(|_| broken())?;
            records.push(text(found.data()));
        }
    }
    let negative = receive.is_some_and(Pattern::is_negative);
    let accepted = |text: &String| receive.is_none_or(|pattern| pattern.accepts(text.as_bytes()));
    let good = if negative {
        !records.is_empty() && records.iter().all(accepted)
    } else {
        records.iter().any(accepted)
    };
    let found = shown(record, &records);
    if good {
        Ok(found)
    } else {
        Err(Failure::answer(found, expected()))
    }
}

/// The first records, for a message.
fn shown(record: Rtype, records: &[String]) -> String {
    let shown = records.iter().take(SHOWN);
    let shown: Vec<_> = shown.map(|text| excerpt(text.as_bytes())).collect();
    match records.len() {
        0 => format!("no {record} records"),
        1..=SHOWN => shown.join(", "),
        count => format!("{} and {} more", shown.join(", "), count - SHOWN),
    }
}

/// A record's data as a zone file has it; but of TXT the text itself, not in quotes, and no dot at the
/// end of a name, which ldirectord's patterns do not expect.
fn text<O, N>(data: &AllRecordData<O, N>) -> String
where
    O: AsRef<[u8]> + domain::dep::octseq::Octets,
    N: std::fmt::Display,
    AllRecordData<O, N>: std::fmt::Display,
{
    match data {
        AllRecordData::Txt(text) => {
            let text: Vec<u8> = text.text();
            String::from_utf8_lossy(&text).into_owned()
        }
        other => {
            let mut text = other.to_string();
            if text.ends_with('.') {
                text.pop();
            }
            text
        }
    }
}

#[cfg(test)]
mod tests;
