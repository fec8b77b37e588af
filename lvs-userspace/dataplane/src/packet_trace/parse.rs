//! Filters as people write them: the words of tcpdump (pcap-filter), and some for what only a director knows.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use lvs_api::connections::Prefix;
use lvs_common::verdict::Reason;
use lvs_common::wire::protocol;

use super::expression::{Service, Side, Test};

/// Deepest nesting: a filter is a line that somebody types.
const DEEPEST: u32 = 32;
/// Longest filter in bytes.
const LONGEST: usize = 4096;

/// A filter that makes no sense, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    filter: String,
    /// Column of the wrong word, in characters from 0.
    column: usize,
    /// Characters of that word.
    length: usize,
    message: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            filter,
            column,
            length,
            message,
        } = self;
        let mark = "^".repeat((*length).max(1));
        write!(
            f,
            "the filter makes no sense: {message}\n  {filter}\n  {:column$}{mark}",
            ""
        )
    }
}

impl std::error::Error for FilterError {}

/// A word of a filter, and where it stands.
#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    text: &'a str,
    column: usize,
}

/// Reads a filter; an empty one is true of every packet.
pub(super) fn parse(filter: &str) -> Result<Test, FilterError> {
    if filter.len() > LONGEST {
        return Err(FilterError {
            filter: filter.chars().take(40).collect(),
            column: 0,
            length: 1,
            message: format!("it is longer than {LONGEST} bytes"),
        });
    }
    let mut parser = Parser {
        filter,
        words: words(filter),
        at: 0,
        depth: 0,
    };
    if parser.words.is_empty() {
        return Ok(Test::Any);
    }
    let test = parser.alternatives()?;
    match parser.peek() {
        None => Ok(test),
        Some(word) => Err(parser.error_at(
            word,
            format!(
                "`{}' follows a whole filter: join them by `and' or `or'",
                word.text
            ),
        )),
    }
}

fn words(filter: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut begun: Option<(usize, usize)> = None;
    let end = |begun: &mut Option<(usize, usize)>, to: usize, words: &mut Vec<_>| {
        if let Some((from, column)) = begun.take()
            && let Some(text) = filter.get(from..to)
        {
            words.push(Word { text, column });
        }
    };
    for (column, (at, letter)) in filter.char_indices().enumerate() {
        if letter.is_whitespace() {
            end(&mut begun, at, &mut words);
        } else if matches!(letter, '(' | ')' | '!') {
            end(&mut begun, at, &mut words);
            let text = filter.get(at..at + 1).unwrap_or_default();
            words.push(Word { text, column });
        } else if begun.is_none() {
            begun = Some((at, column));
        }
    }
    end(&mut begun, filter.len(), &mut words);
    words
}

struct Parser<'a> {
    filter: &'a str,
    words: Vec<Word<'a>>,
    at: usize,
    depth: u32,
}

/// Message for a word at which no term may begin.
const EXPECTED: &str = "expected host, net, port, portrange (each with src or dst before it, or without), tcp, udp, \
     sctp, icmp, icmp6, ip, ip6, service, server, verdict, interface, new, not, or a `('";

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Word<'a>> {
        self.words.get(self.at).copied()
    }

    fn next_is(&self, names: &[&str]) -> bool {
        self.peek().is_some_and(|word| names.contains(&word.text))
    }

    fn takes(&mut self, names: &[&str]) -> bool {
        let takes = self.next_is(names);
        self.at += usize::from(takes);
        takes
    }

    fn error_at(&self, word: Word<'_>, message: String) -> FilterError {
        FilterError {
            filter: self.filter.replace(char::is_control, " "),
            column: word.column,
            length: word.text.chars().count(),
            message,
        }
    }

    fn error_at_end(&self, message: String) -> FilterError {
        let end = Word {
            text: "",
            column: self.filter.chars().count(),
        };
        self.error_at(end, message)
    }

    /// The next word, which is to be what `what` says.
    fn word(&mut self, what: &str) -> Result<Word<'a>, FilterError> {
        let word = self.peek();
        self.at += 1;
        word.ok_or_else(|| self.error_at_end(format!("it ends where {what} is expected")))
    }

    fn alternatives(&mut self) -> Result<Test, FilterError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let word = self.word("a filter")?;
            return Err(self.error_at(word, "it is nested too deeply".to_owned()));
        }
        let mut test = self.conjunction()?;
        while self.takes(&["or", "||"]) {
            test = Test::Or(Box::new(test), Box::new(self.conjunction()?));
        }
        self.depth -= 1;
        Ok(test)
    }

    fn conjunction(&mut self) -> Result<Test, FilterError> {
        let mut test = self.negation()?;
        while self.takes(&["and", "&&"]) {
            test = Test::And(Box::new(test), Box::new(self.negation()?));
        }
        Ok(test)
    }

    fn negation(&mut self) -> Result<Test, FilterError> {
        let mut negated = false;
        while self.takes(&["not", "!"]) {
            negated = !negated;
        }
        let test = if self.takes(&["("]) {
            let test = self.alternatives()?;
            let end = self.word("a `)'")?;
            if end.text != ")" {
                return Err(self.error_at(
                    end,
                    format!("`{}' stands where a `)' is expected", end.text),
                ));
            }
            test
        } else {
            self.primitive()?
        };
        Ok(if negated {
            Test::Not(Box::new(test))
        } else {
            test
        })
    }

    fn primitive(&mut self) -> Result<Test, FilterError> {
        let word = self.word("a test")?;
        let qualified = |this: &mut Self, test: Test| {
            // `tcp port 80` is `tcp and port 80`.
            if this.next_is(&["src", "dst", "host", "net", "port", "portrange"]) {
                Ok(Test::And(Box::new(test), Box::new(this.primitive()?)))
            } else {
                Ok(test)
            }
        };
        match word.text {
            "tcp" => qualified(self, Test::Protocol(protocol::TCP)),
            "udp" => qualified(self, Test::Protocol(protocol::UDP)),
            "sctp" => qualified(self, Test::Protocol(protocol::SCTP)),
            "icmp" => qualified(self, Test::Protocol(protocol::ICMP)),
            "icmp6" => qualified(self, Test::Protocol(protocol::ICMPV6)),
            "ip" => qualified(self, Test::Family(4)),
            "ip6" => qualified(self, Test::Family(6)),
            "src" => self.address_or_port(Side::Source),
            "dst" => self.address_or_port(Side::Destination),
            "host" | "net" | "port" | "portrange" => {
                self.at -= 1;
                self.address_or_port(Side::Either)
            }
            "interface" => {
                let name = self.word("the name of an interface")?;
                Ok(Test::Interface(name.text.to_owned()))
            }
            "service" => self.service(),
            "server" => {
                let word = self.word("a real server's address")?;
                let (address, port) = endpoint(word.text).ok_or_else(|| {
                    self.error_at(
                        word,
                        format!(
                            "`{}' is no address such as 10.0.0.11 or 10.0.0.11:80",
                            word.text
                        ),
                    )
                })?;
                Ok(Test::Server(address, port))
            }
            "verdict" => self.verdict(),
            "new" => Ok(Test::New),
            text if text.parse::<IpAddr>().is_ok() || text.parse::<Prefix>().is_ok() => {
                self.at -= 1;
                self.net(Side::Either)
            }
            text => Err(self.error_at(word, format!("`{text}' is no test: {EXPECTED}"))),
        }
    }

    fn address_or_port(&mut self, side: Side) -> Result<Test, FilterError> {
        if self.takes(&["port"]) {
            let word = self.word("a port")?;
            let port: u16 = word.text.parse().map_err(|_| {
                self.error_at(
                    word,
                    format!("`{}' is no port: a number from 0 to 65535", word.text),
                )
            })?;
            return Ok(Test::Ports(side, [port, port]));
        }
        if self.takes(&["portrange"]) {
            let word = self.word("a range of ports")?;
            let range = word
                .text
                .split_once('-')
                .and_then(|(first, last)| Some([first.parse::<u16>().ok()?, last.parse().ok()?]));
            return match range {
                Some([first, last]) if first <= last => Ok(Test::Ports(side, [first, last])),
                _ => Err(self.error_at(
                    word,
                    format!("`{}' is no range such as 8000-8080", word.text),
                )),
            };
        }
        self.takes(&["host", "net"]);
        self.net(side)
    }

    fn net(&mut self, side: Side) -> Result<Test, FilterError> {
        let word = self.word("an address")?;
        let prefix: Prefix = word.text.parse().map_err(|_| {
            self.error_at(
                word,
                format!(
                    "`{}' is no address such as 192.0.2.1, and no network such as 192.0.2.0/24",
                    word.text
                ),
            )
        })?;
        Ok(Test::Net(side, prefix))
    }

    fn service(&mut self) -> Result<Test, FilterError> {
        let word = self.word("a virtual service")?;
        let wrong = || {
            self.error_at(
                word,
                format!(
                    "`{}' is no virtual service such as 192.0.2.10:80, udp:192.0.2.10:53 or fwm:1",
                    word.text
                ),
            )
        };
        if let Some(mark) = word.text.strip_prefix("fwm:") {
            let mark = mark.parse().map_err(|_| wrong())?;
            return Ok(Test::Service(Service::Mark(mark)));
        }
        let prefixes = [
            ("tcp:", protocol::TCP),
            ("udp:", protocol::UDP),
            ("sctp:", protocol::SCTP),
        ];
        let found = prefixes
            .iter()
            .find_map(|(prefix, number)| Some((*number, word.text.strip_prefix(prefix)?)));
        let (number, rest) = match found {
            Some((number, rest)) => (Some(number), rest),
            None => (None, word.text),
        };
        let (address, port) = endpoint(rest).ok_or_else(wrong)?;
        Ok(Test::Service(Service::Address(number, address, port)))
    }

    fn verdict(&mut self) -> Result<Test, FilterError> {
        let word = self.word("a verdict")?;
        let begins = |reason: &&Reason| {
            let rest = reason.name().strip_prefix(word.text);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        if Reason::ALL.iter().any(|reason| begins(&reason)) {
            return Ok(Test::Verdict(word.text.to_owned()));
        }
        Err(self.error_at(
            word,
            format!(
                "`{}' is no verdict: one of `lvsadm --verdicts', or forward, pass, drop, answer, hold",
                word.text
            ),
        ))
    }
}

/// An address, perhaps with a port.
fn endpoint(word: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(socket) = word.parse::<SocketAddr>() {
        return Some((socket.ip(), Some(socket.port())));
    }
    let bare = word
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    Some((bare.unwrap_or(word).parse().ok()?, None))
}
