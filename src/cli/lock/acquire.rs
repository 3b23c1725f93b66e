//! `lictor lock acquire`

use std::time::Duration;

use clap::{ArgAction, Args};
use serde_json::json;

use crate::cli::connect::Reach;
use crate::cli::output::Output;
use crate::cli::stop::{self, STOP};
use crate::cli::under::REQUEST;
use crate::coordinate::{Cancel, Hold, Holds, Taken};
use crate::duration::ConsulDuration;

use super::{Failure, holder, key_of};

/// Take a lock or a permit that outlasts this command: `lock release` gives it back, from any process
///
/// Nothing stops what it protects when it ends: for one command, use `lock run`. An identifier that holds it already keeps it,
/// and takes no second permit; where there is a ttl, it is renewed.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 it is held; 120 others hold it (--try), 122 it is something else or has another limit, 123 denied, 124 not in
time, 125 failed, 64 wrong usage.

Example:
  lictor lock acquire service/web/upgrade --limit 2 --timeout 10m --reason 'release 42'")]
pub(super) struct Arguments {
    /// Where it is: its key is PATH/.lock
    path: String,
    /// Who holds it [default: the host's name]
    #[arg(long, value_name = "NAME")]
    identifier: Option<String>,
    /// So many at a time: a semaphore in place of a lock
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// How long to wait [default: for ever]
    #[arg(long, value_name = "DURATION", conflicts_with = "try")]
    timeout: Option<ConsulDuration>,
    /// Do not wait
    #[arg(long)]
    r#try: bool,
    /// Whether it ends with the health of the agent's node
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    ephemeral: bool,
    /// How long it lasts without being taken again, at least: 10s to 24h [default: no such end]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<ConsulDuration>,
    /// Take a permit though there is none left, past those in line
    #[arg(long, requires = "limit")]
    force: bool,
    /// First come, first served, among those who ask for it
    #[arg(long)]
    fair: bool,
    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) fn run(arguments: &Arguments, output: Output, reach: Reach) -> Result<(), Failure> {
    let hold = arguments.hold();
    hold.validate()?;
    let (client, query) = reach.open(REQUEST)?;
    let holds = Holds::new(&client, &query, &arguments.path)?;
    stop::listen()?;
    let cancel = Cancel::from(STOP.clone());
    let timeout = if arguments.r#try { Some(Duration::ZERO) } else { arguments.timeout.map(Duration::from) };
    let key = holds.key();
    match holds.take(&hold, timeout, Some(&cancel))? {
        Some(Taken::New { token, over_limit }) => {
            if over_limit {
                eprintln!("warning: there was no permit left: this one is over the limit");
            }
            let result = json!({"action": "acquired", "key": key, "token": token, "over_limit": over_limit});
            Ok(output.text(&result, &format!("acquired\t{key}\t{token}"))?)
        }
        Some(Taken::Already(holder)) => {
            let result = json!({"action": "unchanged", "key": key, "token": holder.token, "over_limit": false});
            Ok(output.text(&result, &format!("unchanged\t{key}\t{}", holder.token))?)
        }
        None if cancel.is_cancelled() => Err(Failure::Cancelled),
        None if arguments.r#try => {
            let holder = holder(&client, &query, &arguments.path);
            Err(Failure::Busy { key: key_of(&arguments.path), holder })
        }
        None => Err(Failure::Timeout(key)),
    }
}

impl Arguments {
    fn hold(&self) -> Hold {
        let own = Hold::default();
        Hold {
            identifier: self.identifier.clone().unwrap_or(own.identifier),
            limit: self.limit,
            ephemeral: self.ephemeral,
            ttl: self.ttl.map(Duration::from),
            force: self.force,
            fair: self.fair,
            reason: self.reason.clone(),
        }
    }
}
