//! The flags that say what a plan may do: the same wherever a plan is made.

use clap::{Args, ValueEnum};

use crate::plan::state::{Adopt, Limit, StatePolicy};

/// What a plan may do beyond the careful default.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What may be done")]
pub(super) struct PolicyFlags {
    /// Delete what this owner once made and declares no more
    #[arg(long)]
    prune: bool,
    /// What may be taken over where it exists already
    #[arg(long, value_enum, value_name = "WHAT", default_value = "ours")]
    adopt: AdoptFlag,
    /// How much may be deleted: a number, or a share of what the owner has (or 5, if that is more)
    #[arg(long, value_name = "N|N%", default_value = "20%")]
    max_delete: Limit,
    /// Delete all that the owner has, where nothing at all is declared
    #[arg(long)]
    allow_empty: bool,
    /// Write keys that other sessions hold; replace sessions that hold keys which are declared nowhere
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum AdoptFlag {
    /// Only what is ours is touched
    #[default]
    Ours,
    /// What nobody owns, too
    Unowned,
    /// Everything, other owners' too
    All,
}

impl PolicyFlags {
    /// Whether any of them says something else than the default.
    pub fn any(&self) -> bool {
        self.policy() != StatePolicy::default()
    }

    pub fn policy(&self) -> StatePolicy {
        StatePolicy {
            prune: self.prune,
            adopt: match self.adopt {
                AdoptFlag::Ours => Adopt::Ours,
                AdoptFlag::Unowned => Adopt::Unowned,
                AdoptFlag::All => Adopt::All,
            },
            max_delete: self.max_delete,
            allow_empty: self.allow_empty,
            force: self.force,
        }
    }
}
