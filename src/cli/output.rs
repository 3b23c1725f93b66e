//! Results: a table on a terminal, tab-separated lines elsewhere, JSON or YAML where asked for.

use std::io::{self, IsTerminal, Write};

use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};
use serde::Serialize;

use super::error::CliError;
use crate::printable::printable;

/// How results are printed.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Output {
    /// How to print the result
    #[arg(short = 'o', long = "output", global = true, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table on a terminal, tab-separated lines elsewhere
    Text,
    /// One JSON document
    Json,
    /// The same document as YAML
    Yaml,
}

impl Output {
    /// True where the result is for people.
    pub fn is_text(self) -> bool {
        self.format == Format::Text
    }

    /// Prints `value` as a document where one is asked for, or else as `rows` under `headings`.
    pub fn rows<T: Serialize>(
        self,
        value: &T,
        headings: &[&str],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Result<(), CliError> {
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        let written = match self.format {
            Format::Json => json(&mut stdout, value),
            Format::Yaml => yaml(&mut stdout, value),
            Format::Text => table(&mut stdout, headings, &mut rows.into_iter()),
        };
        written.and_then(|()| stdout.flush()).map_err(unprinted)
    }

    /// Prints `value` as a document where one is asked for, or else `bytes` as they are; on a terminal, with a line's end behind them.
    pub fn bytes<T: Serialize>(self, value: &T, bytes: &[u8]) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        let written = match self.format {
            Format::Json => json(&mut stdout, value),
            Format::Yaml => yaml(&mut stdout, value),
            Format::Text if io::stdout().is_terminal() => {
                stdout.write_all(bytes).and_then(|()| stdout.write_all(b"\n"))
            }
            Format::Text => stdout.write_all(bytes),
        };
        written.and_then(|()| stdout.flush()).map_err(unprinted)
    }

    /// Prints `value` as a document where one is asked for, or else `text`.
    pub fn text<T: Serialize>(self, value: &T, text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        match self.format {
            Format::Json => json(&mut stdout, value),
            Format::Yaml => yaml(&mut stdout, value),
            Format::Text => writeln!(stdout, "{text}"),
        }
        .map_err(unprinted)
    }

    /// Prints one of many results that come one after another: a line each, or a YAML document each.
    pub fn item<T: Serialize>(self, value: &T, cells: &[&str]) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        let written = match self.format {
            Format::Json => line(&mut stdout, value),
            Format::Yaml => writeln!(stdout, "---").and_then(|()| yaml(&mut stdout, value)),
            Format::Text => {
                let cells: Vec<_> = cells.iter().map(|cell| printable(cell)).collect();
                writeln!(stdout, "{}", cells.join("\t"))
            }
        };
        written.and_then(|()| stdout.flush()).map_err(unprinted)
    }
}

/// `text`, or a dash where it is empty, so that a row has all its cells.
pub(super) fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn table(output: &mut dyn Write, headings: &[&str], rows: &mut dyn Iterator<Item = Vec<String>>) -> io::Result<()> {
    let mut rows = rows.map(|row| row.iter().map(|cell| printable(cell).into_owned()).collect::<Vec<_>>());
    if !io::stdout().is_terminal() {
        return rows.try_for_each(|row| writeln!(output, "{}", row.join("\t")));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()).collect::<Vec<_>>());
    table.add_rows(rows);
    table.lines().try_for_each(|line| writeln!(output, "{}", line.trim_end()))
}

// To any writer: what prints a type would else be there for each of them.

pub(super) fn json<T: Serialize>(output: &mut dyn Write, value: &T) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *output, value)?;
    writeln!(output)
}

fn line<T: Serialize>(output: &mut dyn Write, value: &T) -> io::Result<()> {
    serde_json::to_writer(&mut *output, value)?;
    writeln!(output)
}

/// Quotes every text that YAML, 1.1 or 1.2, would read as something else: `no`, `1e3`, `12:30`.
pub(super) fn yaml<T: Serialize>(mut output: &mut dyn Write, value: &T) -> io::Result<()> {
    // By way of JSON: what prints a type as YAML would else be there for each.
    let mut text = Vec::new();
    json(&mut text, value)?;
    let document: serde_json::Value = crate::json::read(&text)?;
    serde_yaml::to_io_writer(&mut output, &document).map_err(|error| match error {
        serde_yaml::ser::Error::IO { error } => error, // a closed pipe is told from the rest
        error => io::Error::other(error),
    })
}

pub(super) fn unprinted(source: io::Error) -> CliError {
    CliError::io("cannot print the result", source)
}
