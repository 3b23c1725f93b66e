//! A plan in a file: made and reviewed at one time, applied at another, if nothing has moved meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::CliError;
use super::output;
use crate::object::DesiredState;
use crate::plan::state::StatePolicy;
use crate::render::{ChangeDocument, PlanDocument};
use crate::source::ValueFiles;
use crate::spec::{self, SAVED_PLAN};

/// The version of this format. One that is newer is refused.
const VERSION: u32 = 1;

/// A saved plan. It holds no secret: a value from a variable or a file is read there again, and has to be the same.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A saved plan of Lictor")]
pub struct SavedPlan {
    /// Always `lictor-plan`.
    format: String,
    /// The version of this format.
    version: u32,
    /// The digest of all that follows: a plan that was changed since it was made is none that somebody reviewed.
    digest: String,
    /// The ids of the nodes of the cluster's servers, as far as the token may see them.
    cluster: Vec<String>,
    /// The `ModifyIndex` of the owner's record; 0 where there was none.
    record: u64,
    /// What the plan may do.
    policy: StatePolicy,
    /// What is declared, as a spec. Files are named as they are from the folder where the plan was made.
    spec: Value,
    /// What the plan would do, and what each change was planned against.
    plan: PlanDocument,
}

impl SavedPlan {
    /// The plan for `desired`, to be written.
    pub(super) fn new(
        desired: &DesiredState,
        policy: &StatePolicy,
        cluster: Vec<String>,
        record: u64,
        plan: PlanDocument,
    ) -> Self {
        let (format, digest, policy, spec) =
            (SAVED_PLAN.to_owned(), String::new(), policy.clone(), spec::document(desired));
        let bare = Self { format, version: VERSION, digest, cluster, record, policy, spec, plan };
        Self { digest: bare.digest(), ..bare }
    }

    /// The digest of what it says.
    fn digest(&self) -> String {
        let Self { format: _, version, digest: _, cluster, record, policy, spec, plan } = self;
        let content = serde_json::to_vec(&(version, cluster, record, policy, spec, plan));
        crate::object::digest(&content.unwrap_or_default()) // it was JSON, or is to be
    }

    /// Writes it, for its owner's eyes only: values that are no secret in the spec stand in it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn write(&self, file: &Path) -> Result<(), CliError> {
        let unwritten = |source| CliError::io(format!("cannot write the plan to {}", file.display()), source);
        let mut text = Vec::new();
        output::json(&mut text, self).map_err(unwritten)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(file).and_then(|mut file| file.write_all(&text)).map_err(unwritten)
    }

    /// Reads `file`, if it is a saved plan and not a spec.
    ///
    /// # Errors
    /// Where it is a plan that is not to be relied on: of a newer version, cut short, or changed by hand.
    pub(super) fn read(file: &Path) -> Result<Option<Self>, CliError> {
        if !Self::is_at(file) {
            return Ok(None);
        }
        let text = fs::read(file).map_err(|source| CliError::io(format!("cannot read {}", file.display()), source))?;
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let refused = |problem: String| CliError::saved_plan(file, &problem);
        let unread = |error: serde_json::Error| refused(format!("cannot be read: {error}; plan anew"));
        let Head { version } = crate::json::read(&text).map_err(unread)?;
        if version != VERSION {
            return Err(refused(format!(
                "is of version {version}, and this program knows version {VERSION}: plan anew, or take the program that \
                 made it"
            )));
        }
        let saved: Self = crate::json::read(&text).map_err(unread)?;
        if saved.digest != saved.digest() {
            return Err(refused("was changed since it was made: plan anew".to_owned()));
        }
        Ok(Some(saved))
    }

    /// Whether `file` is a saved plan, or was one before something befell it.
    pub(super) fn is_at(file: &Path) -> bool {
        // What cannot be read is the specs' reader's to complain about: a folder, a missing file. What can be read only
        // once, as `<(...)` of a shell, is its to read.
        if !fs::metadata(file).is_ok_and(|file| file.is_file()) {
            return false;
        }
        let mut start = Vec::new();
        let read = fs::File::open(file).and_then(|file| file.take(256).read_to_end(&mut start));
        let start: String = String::from_utf8_lossy(&start).chars().filter(|c| !c.is_whitespace()).collect();
        read.is_ok() && start.contains(&format!("\"format\":\"{SAVED_PLAN}\""))
    }

    /// What is declared. Variables and files are read again.
    ///
    /// # Errors
    /// Where one of them is not there any more.
    pub(super) fn desired(&self) -> Result<DesiredState, CliError> {
        let text = spec::Text {
            name: "the saved plan".into(),
            content: self.spec.to_string(),
            folder: PathBuf::from("."),
            // Whoever made the plan has looked at the files already.
            tree: PathBuf::from("/"),
        };
        let variable = |name: &str| std::env::var_os(name);
        let values = spec::Values { files: &ValueFiles, variable: Some(&variable) };
        spec::read(&[text], values).map_err(CliError::faults)
    }

    /// What the plan may do.
    pub(super) fn policy(&self) -> &StatePolicy {
        &self.policy
    }

    /// Refuses where the plan was made for another cluster.
    ///
    /// # Errors
    /// [`CliError::stale`], which names both.
    pub(super) fn check_cluster(&self, cluster: &[String], datacenter: &str) -> Result<(), CliError> {
        let strange =
            !self.cluster.is_empty() && !cluster.is_empty() && !self.cluster.iter().any(|id| cluster.contains(id));
        if strange || self.plan.datacenter != datacenter {
            return Err(CliError::stale(format!(
                "it was made for another cluster, in datacenter '{}', and this one's datacenter is '{datacenter}'",
                self.plan.datacenter
            )));
        }
        Ok(())
    }

    /// Refuses where a plan that is made now is another, or the owner's record, at index `record` by now, was written.
    ///
    /// # Errors
    /// [`CliError::stale`], which names the first object that moved.
    pub(super) fn check_unmoved(&self, now: &PlanDocument, record: u64) -> Result<(), CliError> {
        // Where it is declared does not count: the saved plan itself is what is read now.
        fn by_object(changes: &[ChangeDocument]) -> BTreeMap<&str, Vec<ChangeDocument>> {
            let mut objects: BTreeMap<&str, Vec<_>> = BTreeMap::new();
            for change in changes {
                objects.entry(&change.object).or_default().push(ChangeDocument { at: None, ..change.clone() });
            }
            objects
        }
        let (then, changes) = (by_object(&self.plan.changes), by_object(&now.changes));
        // In the order in which things are done: a session comes before the keys that moved because it did.
        let objects = now.changes.iter().chain(&self.plan.changes).map(|change| change.object.as_str());
        let moved = objects.into_iter().find(|object| then.get(object) != changes.get(object));
        match moved {
            Some(object) => Err(CliError::stale(format!("{object} has moved since it was planned"))),
            None if self.plan.adopted != now.adopted => {
                Err(CliError::stale("what is to be taken over has changed since it was planned".to_owned()))
            }
            None if self.record != record => {
                let owner = &self.plan.owner;
                Err(CliError::stale(format!("the record of owner {owner:?} was written since it was planned")))
            }
            None => Ok(()),
        }
    }
}
