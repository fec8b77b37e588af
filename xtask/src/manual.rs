//! A document in Markdown as a man page.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, roman};

/// The man page of section 5 of a document: its headings are the sections, its title is left out.
pub(crate) fn page(markdown: &str, name: &str) -> String {
    let mut writer = Writer::default();
    let upper = name.to_uppercase();
    writer.roff.control(
        "TH",
        [upper.as_str(), "5", "2026-11-30", "lvs", "Layer-4 director"],
    );
    writer.roff.control("SH", ["NAME"]);
    let about = format!("{name} - configuration file of lvsd");
    writer.roff.text([roman(about)]);
    writer.roff.control("SH", ["DESCRIPTION"]);
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        writer.event(event);
    }
    let page = writer.roff.to_roff();
    let mut tidied: Vec<&str> = Vec::new();
    for line in page.lines().filter(|line| !line.is_empty()) {
        let after_head = tidied.last().is_some_and(|before| {
            [".SH", ".SS", ".PP"]
                .iter()
                .any(|word| before.starts_with(word))
        });
        if line != ".PP" || !after_head {
            tidied.push(line);
        }
    }
    // Two macros in a row leave the first without text.
    let lines: Vec<_> = tidied
        .iter()
        .enumerate()
        .filter(|(index, line)| {
            let next = tidied.get(index + 1).copied().unwrap_or(".SH");
            **line != ".PP"
                || ![".SH", ".SS", ".TP", ".IP"]
                    .iter()
                    .any(|word| next.starts_with(word))
        })
        .map(|(_, line)| *line)
        .collect();
    lines.join("\n") + "\n"
}

#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an element that is being read"
)]
struct Writer {
    roff: Roff,
    /// The paragraph, cell or heading that is being read.
    text: Vec<Inline>,
    plain: String,
    is_code: bool,
    is_title: bool,
    in_item: bool,
    emphasis: bool,
    /// Cells of the row that is being read.
    cells: Vec<Vec<Inline>>,
    /// Titles of the columns.
    columns: Vec<String>,
    in_head: bool,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.is_code => {
                for line in text.lines() {
                    if line.is_empty() {
                        self.roff.control("sp", []);
                    } else {
                        self.roff.text([roman(line)]);
                    }
                }
            }
            Event::Text(text) => {
                self.plain.push_str(&text);
                self.text.push(if self.emphasis {
                    italic(text.as_ref())
                } else {
                    roman(text.as_ref())
                });
            }
            Event::Code(code) => {
                self.plain.push_str(&code);
                self.text.push(bold(code.as_ref()));
            }
            Event::SoftBreak | Event::HardBreak => self.text.push(roman(" ")),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::CodeBlock(_) => {
                self.is_code = true;
                self.roff.control("PP", []);
                self.roff.control("RS", ["4"]);
                self.roff.control("nf", []);
            }
            Tag::Heading { level, .. } => self.is_title = *level as usize == 1,
            Tag::Item => self.in_item = true,
            Tag::TableHead => self.in_head = true,
            Tag::Emphasis | Tag::Strong => self.emphasis = true,
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => {
                let title = std::mem::take(&mut self.plain);
                self.text.clear();
                match level as usize {
                    _ if self.is_title => {}
                    1 | 2 => {
                        let upper = title.to_uppercase();
                        self.roff.control("SH", [upper.as_str()]);
                    }
                    _ => {
                        self.roff.control("SS", [title.as_str()]);
                    }
                }
                self.is_title = false;
            }
            TagEnd::Paragraph => {
                let kind = if self.in_item { "IP" } else { "PP" };
                self.paragraph(kind);
            }
            TagEnd::Item => {
                self.paragraph("IP");
                self.in_item = false;
            }
            TagEnd::CodeBlock => {
                self.is_code = false;
                self.roff.control("fi", []);
                self.roff.control("RE", []);
            }
            TagEnd::Emphasis | TagEnd::Strong => self.emphasis = false,
            TagEnd::TableCell if self.in_head => {
                self.columns.push(std::mem::take(&mut self.plain));
                self.text.clear();
            }
            TagEnd::TableCell => {
                self.cells.push(std::mem::take(&mut self.text));
                self.plain.clear();
            }
            TagEnd::TableHead => self.in_head = false,
            TagEnd::TableRow => self.row(),
            TagEnd::Table => self.columns.clear(),
            _ => {}
        }
    }

    fn paragraph(&mut self, kind: &str) {
        self.plain.clear();
        if self.text.is_empty() {
            return;
        }
        match kind {
            "IP" => self.roff.control("IP", ["*", "2"]),
            _ => self.roff.control("PP", []),
        };
        let text = std::mem::take(&mut self.text);
        self.roff.text(text);
    }

    /// A row of a table: its first cell as a head, the others with the titles of their columns.
    fn row(&mut self) {
        let mut cells = std::mem::take(&mut self.cells).into_iter();
        self.roff.control("TP", []);
        self.roff.text(cells.next().unwrap_or_default());
        for (title, cell) in self.columns.iter().skip(1).zip(cells) {
            if !title.is_empty() {
                self.roff.text([italic(format!("{title}:"))]);
            }
            self.roff.text(cell);
            self.roff.control("br", []);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_lists_code_and_tables_become_those_of_a_man_page() {
        let page = page(
            "# file\n\nA *page* of `lvsd`.\n\n## Lines\n\n    key = \"value\"\n\n* one\n* two\n\n\
             | | here |\n|---|---|\n| `a` | b |\n",
            "file",
        );
        for part in [
            ".TH FILE 5 ",
            "file \\- configuration file of lvsd\n",
            ".SH DESCRIPTION\nA \\fIpage\\fR of \\fBlvsd\\fR.\n",
            ".SH LINES\n",
            ".nf\nkey = \"value\"\n",
            ".IP * 2\none\n",
            ".TP\n\\fBa\\fR\n\\fIhere:\\fR\nb\n",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
