//! Asks name servers for the addresses of names.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use domain::base::iana::Rcode;
use domain::base::rdata::ParseRecordData;
use domain::base::{Message, Name, Rtype, ToName as _};
use domain::rdata::{A, Aaaa, Srv};
use domain::resolv::StubResolver;
use domain::resolv::stub::conf::{ResolvConf, ServerConf, Transport};
use futures_util::future::join_all;
use lvs_api::model::Family;
use lvs_config::ldirectord::{Found, Query};

/// Longest time for all answers about one name: SRV records take two questions.
const PATIENCE: Duration = Duration::from_secs(6);
/// Time for one answer of one name server.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Most SRV records whose targets are asked for.
const TARGETS: usize = 256;

/// The answer of name servers about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its servers, and the shortest time to live of the records.
    Servers(Vec<Found>, Duration),
    /// It has none, and in what way.
    Empty(String),
    /// Nobody knows, and why.
    Failed(String),
}

/// The records of one question, with the shortest time to live.
type Records<T> = Result<(Vec<T>, Duration), Answer>;

/// Asks for all names at once.
pub(super) async fn look_up(
    nameserver: Option<SocketAddr>,
    queries: Vec<Query>,
) -> Vec<(Query, Answer)> {
    if queries.is_empty() {
        return Vec::new();
    }
    // Each time anew: /etc/resolv.conf may have changed.
    let resolver = Resolvers::new(configuration(nameserver));
    let answers = queries.into_iter().map(async |query| {
        let answer = tokio::time::timeout(PATIENCE, one(&resolver, &query)).await;
        let late = || {
            Answer::Failed(format!(
                "no name server answers within {} s",
                PATIENCE.as_secs()
            ))
        };
        let answer = answer.unwrap_or_else(|_| Err(late()));
        (query, answer.unwrap_or_else(|answer| answer))
    });
    join_all(answers).await
}

fn configuration(nameserver: Option<SocketAddr>) -> ResolvConf {
    let mut configuration = match nameserver {
        None => ResolvConf::default(),
        Some(address) => {
            let mut configuration = ResolvConf::new();
            let server = ServerConf::new(address, Transport::UdpTcp);
            configuration.servers.push(server);
            configuration
        }
    };
    configuration.options.timeout = TIMEOUT;
    configuration.finalize();
    configuration
}

/// The name servers, each by itself: a resolver of several takes the first one's failure for an answer.
struct Resolvers {
    each: Vec<StubResolver>,
    /// With the domains in which names without dots are looked for.
    search: ResolvConf,
}

impl Resolvers {
    fn new(all: ResolvConf) -> Self {
        let one = |server: &ServerConf| {
            let mut one = all.clone();
            one.servers = vec![server.clone()];
            StubResolver::from_conf(one)
        };
        Self {
            each: all.servers.iter().map(one).collect(),
            search: all,
        }
    }
}

async fn one(resolvers: &Resolvers, query: &Query) -> Result<Answer, Answer> {
    if query.is_srv() {
        return services(resolvers, query).await;
    }
    let (addresses, ttl) = addresses(resolvers, &query.name, query.family).await?;
    let server = |address| Found {
        address,
        port: None,
        weight: None,
        backup: false,
    };
    Ok(Answer::Servers(
        addresses.into_iter().map(server).collect(),
        ttl,
    ))
}

/// The addresses of a name; one without dots is looked for in the domains of /etc/resolv.conf.
async fn addresses(resolvers: &Resolvers, name: &str, family: Family) -> Records<IpAddr> {
    let mut names = vec![name.to_owned()];
    if !name.contains('.') {
        let search = resolvers.search.options.search.as_slice().iter();
        let suffixes = search.filter(|suffix| !suffix.is_root());
        let mut longer: Vec<_> = suffixes.map(|suffix| format!("{name}.{suffix}")).collect();
        longer.append(&mut names);
        names = longer;
    }
    let mut last = None;
    for name in names {
        let found = match family {
            Family::Ipv4 => {
                let (records, ttl) = match records::<A>(resolvers, &name, Rtype::A).await {
                    Ok(found) => found,
                    Err(answer) => {
                        last = Some(what_counts(last, answer));
                        continue;
                    }
                };
                let address = |record: A| IpAddr::V4(record.addr());
                (records.into_iter().map(address).collect(), ttl)
            }
            Family::Ipv6 => {
                let (records, ttl) = match records::<Aaaa>(resolvers, &name, Rtype::AAAA).await {
                    Ok(found) => found,
                    Err(answer) => {
                        last = Some(what_counts(last, answer));
                        continue;
                    }
                };
                let address = |record: Aaaa| IpAddr::V6(record.addr());
                (records.into_iter().map(address).collect(), ttl)
            }
        };
        return Ok(found);
    }
    Err(last.unwrap_or_else(|| Answer::Failed(format!("{name} is no name"))))
}

/// Of two answers without addresses the one that counts: where nobody knows of one name, it may be there as before.
fn what_counts(last: Option<Answer>, next: Answer) -> Answer {
    match last {
        Some(failed @ Answer::Failed(_)) => failed,
        _ => next,
    }
}

/// The servers of SRV records (RFC 2782): the lowest priority is the best.
async fn services(resolvers: &Resolvers, query: &Query) -> Result<Answer, Answer> {
    let (mut records, mut ttl) = services_of(resolvers, &query.name).await?;
    // A single record for "." says that there is no such service.
    records.retain(|record| record.target != ".");
    let Some(best) = records.iter().map(|record| record.priority).min() else {
        return Ok(Answer::Empty(format!("{} is not offered", query.name)));
    };
    records.sort_by_key(|record| record.priority);
    records.truncate(TARGETS);
    let targets: BTreeSet<_> = records.iter().map(|record| record.target.clone()).collect();
    let asked = targets.into_iter().map(async |target| {
        let found = addresses(resolvers, &target, query.family).await;
        (target, found)
    });
    let mut servers = Vec::new();
    for (target, found) in join_all(asked).await {
        let (addresses, its) = match found {
            Ok(found) => found,
            // The others serve.
            Err(Answer::Empty(_)) => continue,
            // It may be there as before: as good as no answer at all.
            Err(answer) => return Err(answer),
        };
        ttl = ttl.min(its);
        for record in records.iter().filter(|record| record.target == target) {
            servers.extend(addresses.iter().map(|address| Found {
                address: *address,
                port: Some(record.port),
                weight: Some(u32::from(record.weight).max(1)),
                backup: record.priority > best,
            }));
        }
    }
    if servers.is_empty() {
        return Ok(Answer::Empty(format!(
            "no target of {} has an address",
            query.name
        )));
    }
    Ok(Answer::Servers(servers, ttl))
}

/// An SRV record.
struct Service {
    priority: u16,
    weight: u16,
    port: u16,
    target: String,
}

async fn services_of(resolvers: &Resolvers, name: &str) -> Records<Service> {
    let message = ask(resolvers, name, Rtype::SRV).await?;
    let mut found = Vec::new();
    let mut shortest = Duration::MAX;
    let answer = message.answer().map_err(malformed)?;
    for record in answer.limit_to_in::<Srv<_>>() {
        let record = record.map_err(malformed)?;
        shortest = shortest.min(Duration::from_secs(record.ttl().as_secs().into()));
        let data = record.data();
        let target: Name<Vec<u8>> = data.target().to_name();
        let text = target.to_string();
        found.push(Service {
            priority: data.priority(),
            weight: data.weight(),
            port: data.port(),
            target: if target.is_root() {
                ".".to_owned()
            } else {
                text
            },
        });
    }
    some(name, Rtype::SRV, found, shortest)
}

async fn records<T>(resolvers: &Resolvers, name: &str, kind: Rtype) -> Records<T>
where
    T: for<'a> ParseRecordData<'a, Vec<u8>>,
{
    let message = ask(resolvers, name, kind).await?;
    let mut found = Vec::new();
    let mut shortest = Duration::MAX;
    for record in message.answer().map_err(malformed)? {
        let record = record.map_err(malformed)?;
        // That of an alias counts, too.
        shortest = shortest.min(Duration::from_secs(record.ttl().as_secs().into()));
        if let Some(record) = record.into_record::<T>().map_err(malformed)? {
            found.push(record.into_data());
        }
    }
    some(name, kind, found, shortest)
}

fn some<T>(name: &str, kind: Rtype, found: Vec<T>, shortest: Duration) -> Records<T> {
    if found.is_empty() {
        return Err(Answer::Empty(format!("{name} has no {kind} record")));
    }
    Ok((found, shortest))
}

/// Asks one name server after the other, until one knows.
async fn ask(resolvers: &Resolvers, name: &str, kind: Rtype) -> Result<Message<Vec<u8>>, Answer> {
    let mut last = Answer::Failed(format!("{name}: there is no name server"));
    for resolver in &resolvers.each {
        match ask_one(resolver, name, kind).await {
            Err(failed @ Answer::Failed(_)) => last = failed,
            known => return known,
        }
    }
    Err(last)
}

async fn ask_one(
    resolver: &StubResolver,
    name: &str,
    kind: Rtype,
) -> Result<Message<Vec<u8>>, Answer> {
    let failed = |why: String| Answer::Failed(format!("{name}: {why}"));
    let question: Name<Vec<u8>> = name
        .parse()
        .map_err(|_| failed("no valid name".to_owned()))?;
    let answer = resolver.query((question, kind)).await;
    let answer =
        answer.map_err(|error: io::Error| failed(format!("no name server answers ({error})")))?;
    let message = answer.into_message();
    let code = message.header().rcode();
    match code {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Err(Answer::Empty(format!("there is no such name as {name}"))),
        _ => return Err(failed(format!("the name server says {code}"))),
    }
    Message::from_octets(message.as_slice().to_vec())
        .map_err(|_| failed("a short answer".to_owned()))
}

fn malformed(error: impl std::fmt::Display) -> Answer {
    Answer::Failed(format!("a malformed answer: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_may_be_there_is_not_gone() {
        let failed = Answer::Failed("SERVFAIL".to_owned());
        let empty = Answer::Empty("no such name".to_owned());
        let both = what_counts(Some(failed.clone()), empty.clone());
        assert_eq!(both, failed);
        assert_eq!(what_counts(Some(empty.clone()), failed.clone()), failed);
        assert_eq!(what_counts(None, empty.clone()), empty);
    }
}
