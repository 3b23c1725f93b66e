//! `lictor lock force-unlock`

use clap::Args;
use serde_json::json;

use crate::cli::ask;
use crate::cli::connect::Reach;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::under::REQUEST;
use crate::coordinate::{Holder, Holds};

use super::{Failure, HEADINGS, cells};

/// End a hold, whoever has it: what it protects may be under way still
///
/// Of a living process the session is destroyed: `lock run` ends its command at once, and the lock-delay keeps the next one out
/// meanwhile; a permit has none. What `lock acquire` took is released. Asks first on a terminal.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where it is
    path: String,
    /// Whose hold; needed where there are several [default: the only one]
    #[arg(long, value_name = "NAME")]
    identifier: Option<String>,
    /// The session of the hold, where the identifier does not tell it
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(arguments: &Arguments, output: Output, reach: Reach) -> Result<(), Failure> {
    ask::possible(arguments.yes)?;
    let (client, query) = reach.open(REQUEST)?;
    let holds = Holds::new(&client, &query, &arguments.path)?;
    let found = holds.holders()?;
    let holder = arguments.choose(&holds.key(), &found.holders)?;
    ask::confirm(&format!("End the hold of {:?} by {holder}?", holds.key()), arguments.yes)?;
    holds.force_unlock(holder)?;
    let result = json!({"action": "unlocked", "key": holds.key(), "holder": holder});
    let mut row = vec!["unlocked".to_owned(), holds.key()];
    row.extend(cells(holder));
    let headings = ["action", "key"].into_iter().chain(HEADINGS).collect::<Vec<_>>();
    Ok(output.rows(&result, &headings, [row])?)
}

impl Arguments {
    fn choose<'h>(&self, key: &str, holders: &'h [Holder]) -> Result<&'h Holder, Failure> {
        let wanted = |holder: &&Holder| {
            self.session.as_ref().is_none_or(|session| *session == holder.session)
                && self.identifier.as_ref().is_none_or(|name| holder.identifier.as_ref() == Some(name))
        };
        let chosen: Vec<_> = holders.iter().filter(wanted).collect();
        match chosen.as_slice() {
            [one] => Ok(one),
            [] => Err(CliError::not_found(format!("nobody holds {key:?} that this names")).into()),
            several => {
                let shown: Vec<_> = several.iter().map(ToString::to_string).collect();
                let problem = format!(
                    "{key:?} has {} holders: give --identifier or --session: {}",
                    several.len(),
                    shown.join("; ")
                );
                Err(CliError::usage(problem).into())
            }
        }
    }
}
