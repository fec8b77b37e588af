//! The command line of an init script: a verb and a file, the words that are not options.

/// Verb of an init script, for the daemon of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Start it unless it runs.
    Start,
    /// Stop it if it runs.
    Stop,
    /// Stop and start it; start it if it does not run.
    Restart,
    /// Stop and start it; nothing if it does not run.
    TryRestart,
    /// Make it read its file again.
    Reload,
    /// Print whether it runs.
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

/// A verb, and the file of the daemon it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub verb: Verb,
    /// The file as the command line names it; none: the default one.
    pub file: Option<String>,
}

/// Words that are no command.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsageError {
    /// The only word is no verb.
    #[error("`{0}' is no command")]
    NoVerb(String),
    /// Neither of two words is a verb.
    #[error("neither `{0}' nor `{1}' is a command")]
    NeitherVerb(String, String),
    /// More words than a file and a verb.
    #[error("there is more than a file and a command: `{0}'")]
    TooMany(String),
}

impl Command {
    /// Parses `[FILE] VERB`, as ldirectord has it, or `VERB [FILE]`; none without words.
    ///
    /// Where both words are verbs the first one is the file, as for ldirectord.
    pub(crate) fn parse(words: &[String]) -> Result<Option<Self>, UsageError> {
        let command = |verb, file: Option<&String>| {
            Ok(Some(Self {
                verb,
                file: file.cloned(),
            }))
        };
        match words {
            [] => Ok(None),
            [word] => match Verb::named(word) {
                Some(verb) => command(verb, None),
                None => Err(UsageError::NoVerb(word.clone())),
            },
            [first, second] => match (Verb::named(second), Verb::named(first)) {
                (Some(verb), _) => command(verb, Some(first)),
                (None, Some(verb)) => command(verb, Some(second)),
                (None, None) => Err(UsageError::NeitherVerb(first.clone(), second.clone())),
            },
            [_, _, more, ..] => Err(UsageError::TooMany(more.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Command>, UsageError> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Command::parse(&words)
    }

    #[test]
    fn file_and_verb_come_in_either_order() {
        let command = |verb, file: Option<&str>| {
            let file = file.map(str::to_owned);
            Ok(Some(Command { verb, file }))
        };
        assert_eq!(parse("start"), command(Verb::Start, None));
        assert_eq!(parse("www.cf stop"), command(Verb::Stop, Some("www.cf")));
        assert_eq!(parse("stop www.cf"), command(Verb::Stop, Some("www.cf")));
        assert_eq!(
            parse("status reload"),
            command(Verb::Reload, Some("status"))
        );
        assert_eq!(
            parse("www.cf force-reload"),
            command(Verb::Reload, Some("www.cf"))
        );
        assert_eq!(
            parse("try-restart www.cf"),
            command(Verb::TryRestart, Some("www.cf"))
        );
        assert_eq!(parse(""), Ok(None));
    }

    #[test]
    fn words_that_are_no_command_are_named() {
        for (line, word) in [
            ("www.cf", "www.cf"),
            ("www.cf begin", "begin"),
            ("www.cf start now", "now"),
        ] {
            let error = parse(line).expect_err("no command").to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
