//! The words of a command line that are not options.

/// What is to be done with a file's daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Have it run.
    Start,
    /// Have it not run.
    Stop,
    /// Stop and start it; start it if it does not run.
    Restart,
    /// Stop and start it; nothing if it does not run.
    TryRestart,
    /// Have it read its file again.
    Reload,
    /// Tell whether it runs.
    Status,
}

impl Verb {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "start" => Self::Start,
            "stop" => Self::Stop,
            "restart" => Self::Restart,
            "try-restart" => Self::TryRestart,
            "reload" | "force-reload" => Self::Reload,
            "status" => Self::Status,
            _ => return None,
        })
    }
}

/// A verb, and the file it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// What is to be done.
    pub verb: Verb,
    /// The file, as it was named.
    pub file: Option<String>,
}

/// Words that are no order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsageError {
    /// One word, and it is no verb.
    #[error("`{0}' is no command")]
    NoVerb(String),
    /// Two words, neither of them a verb.
    #[error("neither `{0}' nor `{1}' is a command")]
    NeitherVerb(String, String),
    /// More words than a file and a verb.
    #[error("there is more than a file and a command: `{0}'")]
    TooMany(String),
}

impl Order {
    /// Reads `[FILE] VERB`, as ldirectord has it, or `VERB [FILE]`; nothing of no words.
    ///
    /// Where both words are verbs the first one is the file: ldirectord's order comes first.
    pub(crate) fn parse(words: &[String]) -> Result<Option<Self>, UsageError> {
        let order = |verb, file: Option<&String>| {
            Ok(Some(Self {
                verb,
                file: file.cloned(),
            }))
        };
        match words {
            [] => Ok(None),
            [word] => match Verb::named(word) {
                Some(verb) => order(verb, None),
                None => Err(UsageError::NoVerb(word.clone())),
            },
            [first, second] => match (Verb::named(second), Verb::named(first)) {
                (Some(verb), _) => order(verb, Some(first)),
                (None, Some(verb)) => order(verb, Some(second)),
                (None, None) => Err(UsageError::NeitherVerb(first.clone(), second.clone())),
            },
            [_, _, more, ..] => Err(UsageError::TooMany(more.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Order>, UsageError> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Order::parse(&words)
    }

    #[test]
    fn file_and_verb_come_in_either_order() {
        let order = |verb, file: Option<&str>| {
            let file = file.map(str::to_owned);
            Ok(Some(Order { verb, file }))
        };
        assert_eq!(parse("start"), order(Verb::Start, None));
        assert_eq!(parse("www.cf stop"), order(Verb::Stop, Some("www.cf")));
        assert_eq!(parse("stop www.cf"), order(Verb::Stop, Some("www.cf")));
        assert_eq!(parse("status reload"), order(Verb::Reload, Some("status")));
        assert_eq!(
            parse("www.cf force-reload"),
            order(Verb::Reload, Some("www.cf"))
        );
        assert_eq!(
            parse("try-restart www.cf"),
            order(Verb::TryRestart, Some("www.cf"))
        );
        assert_eq!(parse(""), Ok(None));
    }

    #[test]
    fn words_that_are_no_order_are_named() {
        for (line, word) in [
            ("www.cf", "www.cf"),
            ("www.cf begin", "begin"),
            ("www.cf start now", "now"),
        ] {
            let error = parse(line).expect_err("no order").to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
