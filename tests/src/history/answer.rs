//! A director's answers to the steps of a history, and their text.
//!
//! Servers that packets went to stand side by side, a letter each; other answers are words of their own, which a sign
//! begins: `!` what a command printed, behind the number of its step; `=` services, `#` connections, `+` traffic.
//! Commands that printed nothing have no word.

use super::{History, Step};

/// Columns of a line of the text.
const COLUMNS: usize = 118;

/// An answer for each step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers(pub Vec<String>);

impl Answers {
    /// Words, in lines that are not too long. A line that begins with a blank goes on with a new word.
    pub fn text(&self, history: &History) -> String {
        let mut words: Vec<String> = Vec::new();
        let mut is_packet = false;
        for (index, (answer, (_, step))) in self.0.iter().zip(&history.steps).enumerate() {
            let was_packet = std::mem::replace(&mut is_packet, matches!(step, Step::Packet(_)));
            match (sign(step), words.last_mut()) {
                (None, Some(word)) if was_packet => word.push_str(answer),
                (None, _) => words.push(answer.clone()),
                (Some('!'), _) if answer.is_empty() => {}
                (Some('!'), _) => words.push(format!("!{index}:{answer}")),
                (Some(sign), _) => words.push(format!("{sign}{answer}")),
            }
        }
        wrap(&words.join(" "))
    }

    /// Reads the text of a history's answers; `None`: it is not that.
    pub fn parse(history: &History, lines: &[&str]) -> Option<Self> {
        let text = lines.concat();
        let mut words = text.split(' ').peekable();
        let mut letters = "".chars();
        let mut answers = Vec::new();
        let mut is_packet = false;
        for (index, (_, step)) in history.steps.iter().enumerate() {
            let was_packet = std::mem::replace(&mut is_packet, matches!(step, Step::Packet(_)));
            let answer = match sign(step) {
                None => {
                    if !was_packet {
                        letters = words.next()?.chars();
                    }
                    letters.next()?.to_string()
                }
                Some('!') => {
                    let sign = format!("!{index}:");
                    let word = words.next_if(|word| word.starts_with(&sign));
                    word.map_or_else(String::new, |word| word[sign.len()..].to_owned())
                }
                Some(sign) => words.next()?.strip_prefix(sign)?.to_owned(),
            };
            answers.push(answer);
        }
        words.next().is_none().then_some(Self(answers))
    }
}

/// Lines of a text, none of which ends with a blank.
fn wrap(text: &str) -> String {
    let mut lines = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, _) = rest.split_at_checked(COLUMNS).unwrap_or((rest, ""));
        let line = line.trim_end_matches(' ');
        lines.extend([line, "\n"]);
        rest = &rest[line.len()..];
    }
    lines
}

/// The sign that begins the answer's word; `None`: it is a letter.
const fn sign(step: &Step) -> Option<char> {
    match step {
        Step::Command(_) => Some('!'),
        Step::Packet(_) => None,
        Step::Services => Some('='),
        Step::Connections => Some('#'),
        Step::Traffic => Some('+'),
    }
}

/// The index of the first step that two directors answered differently.
pub fn first_difference(one: &Answers, other: &Answers) -> Option<usize> {
    let count = one.0.len().max(other.0.len());
    (0..count).find(|&index| one.0.get(index) != other.0.get(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_were_written() {
        let history = History::new(3);
        let answer = |step: &Step| match step {
            Step::Packet(packet) if packet.length == 0 => ".".to_owned(),
            Step::Packet(_) => "a".to_owned(),
            Step::Command(line) if line.starts_with("-e") => "No_such_service[255]".to_owned(),
            Step::Command(_) | Step::Connections => String::new(),
            Step::Services => "a1/0/0;b2/0/0".to_owned(),
            Step::Traffic => "1/2/3".to_owned(),
        };
        let answers = history.steps.iter().map(|(_, step)| answer(step));
        let answers = Answers(answers.collect());
        let text = answers.text(&history);
        assert!(text.lines().all(|line| line.len() <= 120));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(Answers::parse(&history, &lines), Some(answers.clone()));
        assert_eq!(Answers::parse(&history, &lines[1..]), None);
        assert_eq!(first_difference(&answers, &answers), None);
        let mut other = answers.clone();
        other.0[9] = "z".to_owned();
        assert_eq!(first_difference(&answers, &other), Some(9));
    }
}
