//! Prints a plan.

use std::borrow::Cow;
use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::error::CliError;
use super::output::{self, unprinted};
use crate::render::{self, PlanDocument};

/// How a plan is printed.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Show {
    /// How to print the plan
    #[arg(short = 'o', long = "output", value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    #[command(flatten)]
    pub color: Color,
}

/// How a spec is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Document {
    /// YAML
    Yaml,
    /// JSON
    Json,
}

/// Whether there are colours.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Color {
    /// Whether there are colours
    #[arg(long = "color", value_name = "WHEN", default_value = "auto")]
    when: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// For a comment on a merge request
    Markdown,
    /// Annotations of GitHub's workflows
    Github,
    /// A code quality report of GitLab
    Gitlab,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Show {
    /// Prints `plan` on standard output.
    pub fn plan(self, plan: &PlanDocument) -> Result<(), CliError> {
        match self.format {
            Format::Text => self.color.print(&render::text(plan)),
            Format::Json => Document::Json.print(plan),
            Format::Markdown => self.color.print(&render::markdown(plan)),
            Format::Github => self.color.print(&render::github(plan)),
            Format::Gitlab => Document::Json.print(&render::gitlab(plan)),
        }
    }
}

impl Document {
    /// Prints `value` on standard output.
    pub fn print(self, value: &impl Serialize) -> Result<(), CliError> {
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        let written = match self {
            Self::Yaml => output::yaml(&mut stdout, value),
            Self::Json => output::json(&mut stdout, value),
        };
        written.and_then(|()| stdout.flush()).map_err(unprinted)
    }
}

impl Color {
    /// Prints `text`, which may hold colours, on standard output.
    pub fn print(self, text: &str) -> Result<(), CliError> {
        // Stripped before it is written: a stream that strips would write piece by piece.
        let text = match self.choice() {
            anstream::ColorChoice::Never => Cow::Owned(anstream::adapter::strip_str(text).to_string()),
            _ => Cow::Borrowed(text),
        };
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(unprinted)
    }

    fn choice(self) -> anstream::ColorChoice {
        match self.when {
            When::Auto => anstream::AutoStream::choice(&io::stdout()),
            When::Always => anstream::ColorChoice::AlwaysAnsi,
            When::Never => anstream::ColorChoice::Never,
        }
    }
}
