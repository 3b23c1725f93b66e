//! What is wrong with a spec, for the person who wrote it.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::Text;
use super::tree::Span;

/// How long a message may be, in characters: what it repeats of the text may be long.
const LONGEST: usize = 500;
/// How much of a line is shown, in characters: what fits a terminal beside its margin.
const WIDTH: usize = 100;
/// How much of that may stand before the fault, so that its surroundings show.
const BEFORE: usize = 40;

/// One fault: where, what, and what to write instead.
///
/// It prints as `file:line:column: message`, the line with a mark under the fault, and the hint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file, as it was named; `-` for standard input.
    pub file: String,
    /// The line, from 1; 0 where it is about the file as a whole.
    pub line: u64,
    /// The column, from 1, in characters; 0 where it is about the file as a whole.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// The line, its control characters escaped, cut to what a terminal shows. Empty where there is none.
    pub source_line: String,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What of `source_line` the fault is about, in characters.
    #[serde(skip)]
    pub(super) mark: Range<usize>,
}

impl Fault {
    /// A fault of a file as a whole.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>, hint: Option<&str>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            message: message.into(),
            source_line: String::new(),
            hint: hint.map(str::to_owned),
            mark: 0..0,
        }
    }

    /// A fault at a place of a text.
    pub(super) fn at(text: &Text, span: Span, message: String, hint: Option<String>) -> Self {
        let (source_line, mark) = shown(&text.content, span);
        Self {
            file: text.name.to_string(),
            line: span.line.into(),
            column: span.column.into(),
            message: cut(message),
            source_line,
            hint,
            mark,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.file.chars() {
            escape(c, f)?;
        }
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.source_line.is_empty() {
            let Range { start, end } = self.mark;
            write!(
                f,
                "\n  | {}\n  | {}{}",
                self.source_line,
                " ".repeat(start),
                "^".repeat(end.max(start + 1) - start)
            )?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  = {hint}"),
            None => Ok(()),
        }
    }
}

/// The line of `span` as it is shown, and where in it the span is.
fn shown(content: &str, span: Span) -> (String, Range<usize>) {
    let (before, after) = content.split_at_checked(span.start as usize).unwrap_or((content, ""));
    let line_start = before.rfind(['\n', '\r']).map_or(0, |end| end + 1);
    let before = before.get(line_start..).unwrap_or_default();
    let after = after.split(['\n', '\r']).next().unwrap_or_default();

    let fits = before.chars().chain(after.chars()).nth(WIDTH).is_none();
    let skipped = if fits { 0 } else { before.chars().count().saturating_sub(BEFORE) };
    let mut line = if skipped > 0 { "...".to_owned() } else { String::new() };
    before.chars().skip(skipped).for_each(|c| push_escaped(c, &mut line));
    let start = line.chars().count();
    let mut end = start;
    let mut rest = after.chars();
    for (position, c) in rest.by_ref().enumerate() {
        push_escaped(c, &mut line);
        let length = line.chars().count();
        if position < span.length as usize {
            end = length;
        }
        if length >= WIDTH {
            break;
        }
    }
    if rest.next().is_some() {
        line.push_str("...");
    }
    (line, start..end)
}

/// `message`, without the rest of one that is too long.
fn cut(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(LONGEST) {
        message.truncate(end);
        message.push_str("...");
    }
    message
}

fn push_escaped(c: char, line: &mut String) {
    // A `String` never fails.
    let _ = escape(c, line);
}

/// Writes `c` so that it neither breaks the line nor speaks to the terminal, nor turns the direction of writing.
fn escape(c: char, to: &mut impl fmt::Write) -> fmt::Result {
    if c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
        write!(to, "{}", c.escape_default())
    } else {
        to.write_char(c)
    }
}
