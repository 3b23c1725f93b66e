//! `lictor session info`

use clap::Args;

use crate::cli::connect::Connect;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::consul::SessionEntry;
use crate::object::SessionId;
use crate::reconcile;

/// Show the session of an id, or those of a name on one node
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A session's id, or its name
    session: String,
    /// The node, for a name [default: the agent's own]
    #[arg(long)]
    node: Option<String>,
}

pub(super) fn run(arguments: Arguments, output: Output, connect: Connect) -> Result<(), CliError> {
    let (client, query) = connect.open()?;
    let wanted = &arguments.session;
    let found: Vec<SessionEntry> = match SessionId::parse(wanted) {
        Ok(id) => client.session().read(id.as_str(), &query)?.0.into_iter().collect(),
        Err(_) => {
            let node = reconcile::node_or_own(&client, &query, arguments.node.clone())?;
            let mut sessions = client.session().list_node(&node, &query)?;
            sessions.retain(|session| session.name == *wanted);
            sessions
        }
    };
    let found: Vec<_> = match (&arguments.node, SessionId::parse(wanted)) {
        (Some(node), Ok(_)) => found.into_iter().filter(|session| session.node.eq_ignore_ascii_case(node)).collect(),
        _ => found,
    };
    if found.is_empty() {
        return Err(CliError::not_found(format!("there is no session '{wanted}', or the token may not see it")));
    }
    super::table::print(found, output)
}
