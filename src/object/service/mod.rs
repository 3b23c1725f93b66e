//! A service: what it should be, and one that is.

mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FieldDifference, Refused, validate_name, validate_path_name};

pub use check::{Check, CheckState};

/// The key of a service's metadata that holds the hash of its definition.
pub const HASH_KEY: &str = "lictor-hash";

/// The key of a service's metadata that holds the owner, where a state declares the service.
pub const OWNER_KEY: &str = "lictor-owner";

/// The name and the id of the service that a server registers for itself, and keeps up.
const CONSUL: &str = "consul";

/// The most pairs of metadata that Consul takes.
const META_PAIRS: usize = 64;
/// The longest key of metadata, in bytes.
const META_KEY: usize = 128;
/// The longest value of metadata, in bytes.
const META_VALUE: usize = 512;

/// How much of the traffic an instance gets, by its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Weights {
    /// While its checks pass. 1 to 65535.
    pub passing: u16,
    /// While one of them warns. 0 to 65535.
    pub warning: u16,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// A service as far as Consul shows it, in canonical form: two of these are equal exactly when Consul treats them alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its id: what tells it from the other services of its node.
    pub id: String,
    /// Its name, which instances share.
    pub name: String,
    /// Its tags. Their order means nothing.
    pub tags: BTreeSet<String>,
    /// Its address; empty for its node's.
    pub address: String,
    /// Its port; 0 for none.
    pub port: u16,
    /// Its metadata, without the hash and the owner.
    pub meta: BTreeMap<String, String>,
    /// Whether others may change its tags in the catalog.
    pub enable_tag_override: bool,
    /// Its weights.
    pub weights: Weights,
}

/// All that somebody declares of a service. Clones share it: plans for many services have each of them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    service: Arc<Service>,
    checks: Option<Arc<[Check]>>,
    /// Of the two. It is asked for more than once, and costs more than all the rest of a comparison.
    hash: Arc<str>,
}

/// A service that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedService {
    /// What it is.
    pub service: Service,
    /// The hash of the definition that it was registered with. `None`: by somebody else.
    pub hash: Option<String>,
    /// The owner that its metadata names.
    pub owner: Option<String>,
    /// The ids of its checks, but not of the one that its maintenance is. Consul does not give back what they do.
    pub checks: BTreeSet<String>,
}

/// A node without an agent, which is to bear a service. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalNode {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Option<String>,
    /// Its metadata.
    pub meta: Option<BTreeMap<String, String>>,
}

/// A node that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedNode {
    /// Its address.
    pub address: String,
    /// Its metadata.
    pub meta: BTreeMap<String, String>,
    /// Whether an agent runs there, or did until lately.
    pub has_agent: bool,
}

/// Checks the id of a service that is to be registered or deregistered.
///
/// # Errors
/// As for [`validate_path_name`], and for the service that servers themselves are.
pub fn validate_service_id(option: &str, id: &str) -> Result<(), Refused> {
    validate_path_name(option, id)?;
    if id == CONSUL {
        return Err(Refused::new(format!("{option} is that of Consul's own service: take another")));
    }
    Ok(())
}

impl Service {
    /// Checks every bound that Consul has, and what it leaves unchecked.
    fn validate(&self) -> Result<(), Refused> {
        validate_name("name", &self.name)?;
        validate_service_id("id", &self.id)?;
        if self.name == CONSUL {
            return Err(Refused::new("name is that of Consul's own service: take another name".to_owned()));
        }
        if matches!(self.address.as_str(), "0.0.0.0" | "::" | "[::]") {
            return Err(Refused::new(format!(
                "address is {}, which nobody can connect to: write the address that others reach the service at",
                self.address
            )));
        }
        if self.weights.passing == 0 {
            return Err(Refused::new("weights: passing is 0: write 1 to 65535".to_owned()));
        }
        for key in [HASH_KEY, OWNER_KEY] {
            if self.meta.contains_key(key) {
                return Err(Refused::new(format!("meta: the key {key} is ours: take another name")));
            }
        }
        // The hash and the owner take one pair each.
        validate_meta("meta", &self.meta, META_PAIRS - 2)
    }

    /// In what `after` differs, field by field.
    pub fn differences(&self, after: &Self) -> Vec<FieldDifference> {
        fn show<T: Debug + PartialEq>(field: &'static str, before: &T, after: &T) -> Option<FieldDifference> {
            let text = |value: &T| format!("{value:?}");
            (before != after).then(|| FieldDifference { field, before: text(before), after: text(after) })
        }
        [
            show("name", &self.name, &after.name),
            show("tags", &self.tags, &after.tags),
            show("address", &self.address, &after.address),
            show("service_port", &self.port, &after.port),
            show("meta", &self.meta, &after.meta),
            show("enable_tag_override", &self.enable_tag_override, &after.enable_tag_override),
            show("weights", &self.weights, &after.weights),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl ServiceSpec {
    /// A service, and its checks: `None` leaves those alone that it has. Each check gets its id here.
    ///
    /// # Errors
    /// What Consul would refuse, or take for something else, in words that say what to write instead.
    pub fn new(service: Service, checks: Option<Vec<Check>>) -> Result<Self, Refused> {
        service.validate()?;
        let Some(mut checks) = checks else { return Ok(Self::hashed(service, None)) };
        let mut ids = BTreeSet::new();
        for (position, check) in checks.iter_mut().enumerate() {
            let kind = check.validate(position)?;
            let id = check.id.clone().unwrap_or_else(|| {
                // By its name or its kind, not by its position: an unchanged check keeps its id, and so its status,
                // where another is put before it.
                let stem = format!("service:{}:{}", service.id, check.name.as_deref().unwrap_or(kind));
                let numbered = (2..).map(|number| format!("{stem}:{number}"));
                let unnamed = check.name.is_none();
                std::iter::once(stem.clone())
                    .chain(numbered)
                    .find(|id| !unnamed || !ids.contains(&id.to_ascii_lowercase()))
                    .unwrap_or(stem)
            });
            validate_path_name("the id of a check", &id)?;
            // Consul's catalog does not tell upper from lower case in them.
            if !ids.insert(id.to_ascii_lowercase()) {
                return Err(Refused::new(format!("two checks have the id {id:?}: give each its own `name` or `id`")));
            }
            check.id = Some(id);
        }
        Ok(Self::hashed(service, Some(checks)))
    }

    fn hashed(service: Service, checks: Option<Vec<Check>>) -> Self {
        #[derive(Serialize)]
        struct Whole<'a> {
            service: &'a Service,
            #[serde(skip_serializing_if = "Option::is_none")]
            checks: Option<&'a [Check]>,
        }
        let whole = Whole { service: &service, checks: checks.as_deref() };
        let hash = super::digest(&serde_json::to_vec(&whole).unwrap_or_default()).into();
        Self { service: service.into(), checks: checks.map(Into::into), hash }
    }

    /// For a node without an agent: only `consul-esm` can run its checks, and that knows http and tcp.
    ///
    /// # Errors
    /// The first check that is of another kind.
    pub fn on_external_node(self) -> Result<Self, Refused> {
        for check in self.checks().unwrap_or_default() {
            let kind = check.kind().unwrap_or_default();
            if !["http", "tcp"].contains(&kind) {
                return Err(Refused::new(format!(
                    "check {:?} is of kind {kind}, and node has no agent to run it: on such a node there are http and \
                     tcp checks, for consul-esm to run",
                    check.id.as_deref().unwrap_or_default()
                )));
            }
        }
        Ok(self)
    }

    /// The service as Consul is to show it.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Its checks, each with an id; `None` for those that it has.
    pub fn checks(&self) -> Option<&[Check]> {
        self.checks.as_deref()
    }

    /// A hash of the whole, the checks included: 128 bits of the SHA-256 of its JSON, in which fields stand in a fixed
    /// order, durations in one form, and nothing that was not given. It tells what Consul does not give back.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

impl ExternalNode {
    /// Checks its bounds.
    ///
    /// # Errors
    /// The first fault, in words that say what to write instead.
    pub fn validate(&self) -> Result<(), Refused> {
        validate_path_name("node", &self.name)?;
        if let Some(address) = &self.address {
            validate_name("node_address", address)?;
        }
        self.meta.as_ref().map_or(Ok(()), |meta| validate_meta("node_meta", meta, META_PAIRS))
    }
}

fn validate_meta(option: &str, meta: &BTreeMap<String, String>, most: usize) -> Result<(), Refused> {
    let refuse = |problem: String| Err(Refused::new(format!("{option}: {problem}")));
    if meta.len() > most {
        return refuse(format!("{} pairs, and {most} is the most", meta.len()));
    }
    for (key, value) in meta {
        if key.is_empty() || key.len() > META_KEY {
            return refuse(format!("the key {key:?} has {} characters: write 1 to {META_KEY}", key.len()));
        }
        if key.chars().any(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')) {
            return refuse(format!("the key {key:?} may have letters, digits, `_` and `-` only"));
        }
        if key.starts_with("consul-") {
            return refuse(format!("the key {key:?}: Consul keeps `consul-` for itself; take another name"));
        }
        if value.len() > META_VALUE {
            return refuse(format!("the value of {key:?} has {} bytes, and {META_VALUE} is the most", value.len()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
