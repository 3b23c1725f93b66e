//! The format: the types that a document is parsed into. What editors know of it, `schemas/spec.json`, comes from them,
//! and so does what is checked before anything is parsed.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Error, Value};

use super::tree::Node;
use crate::duration::ConsulDuration;
use crate::object::{Behavior, Check, Weights};

/// The version of the format.
pub(super) const VERSION: u64 = 1;

/// A document: what one owner declares in one place.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(
    title = "A spec of Lictor",
    extend("additionalProperties" = false, "required" = ["version", "owner"])
)]
pub(super) struct Document {
    /// Where this schema is: for editors, in JSON.
    #[serde(rename = "$schema")]
    pub schema: Option<String>,
    /// The version of this format: 1.
    #[schemars(extend("const" = VERSION))]
    pub version: u64,
    /// Whose objects these are, such as `platform/coordination`. All documents of a call have the same one.
    pub owner: String,
    /// The datacenter that they are in. The default is the agent's own.
    pub datacenter: Option<String>,
    /// The namespace that they are in (Consul Enterprise).
    pub namespace: Option<String>,
    /// The admin partition that they are in (Consul Enterprise).
    pub partition: Option<String>,
    /// What goes for each object of this document that does not say otherwise.
    pub defaults: Defaults,
    /// Sessions.
    #[serde(deserialize_with = "one_by_one")]
    pub sessions: Vec<SessionEntry>,
    /// Keys.
    #[serde(deserialize_with = "one_by_one")]
    pub keys: Vec<KeyEntry>,
    /// Services.
    #[serde(deserialize_with = "one_by_one")]
    pub services: Vec<ServiceEntry>,
}

/// Reads none: entries are read one by one.
fn one_by_one<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<Vec<T>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| Vec::new())
}

/// Defaults, field by field. An object's own `meta` and `node_meta` are joined with these; its other lists and maps stand in
/// place of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(inline, extend("additionalProperties" = false))]
pub(super) struct Defaults {
    /// For each session.
    pub session: SessionFields,
    /// For each key.
    pub key: KeyFields,
    /// For each service.
    pub service: ServiceFields,
}

// Entries are read field by field, and not by serde's `flatten`: that puts all that an object says into a buffer first.

/// A field of an entry, if it is there: the last one of that name.
fn field<T: DeserializeOwned>(node: &Node<'_>, name: &str) -> Result<Option<T>, Error> {
    let found = node.entries().iter().rfind(|(key, _)| key.text() == Some(name));
    found.map(|(_, value)| T::deserialize(value)).transpose()
}

/// A session.
#[derive(Debug, JsonSchema)]
#[schemars(inline, extend("additionalProperties" = false))]
pub(super) struct SessionEntry {
    /// Its name. With the node it is what tells it from others.
    pub name: String,
    #[schemars(flatten)]
    pub fields: SessionFields,
}

impl SessionEntry {
    pub fn of(node: &Node<'_>) -> Result<Self, Error> {
        Ok(Self { name: field(node, "name")?.unwrap_or_default(), fields: SessionFields::deserialize(node)? })
    }
}

/// What defaults may say of a session, too.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(inline, extend("additionalProperties" = false))]
pub(super) struct SessionFields {
    /// The node that it lives and dies with. Needed, here or in the defaults.
    pub node: Option<String>,
    /// How long it lives without a renewal, at least: 10s to 24h. 0, or nothing, means for ever.
    pub ttl: Option<ConsulDuration>,
    /// How long its keys stay barred after it was lost: 0 to 60s. The default is 15s.
    pub delay: Option<ConsulDuration>,
    /// What becomes of its keys when it ends: `release` (the default) unlocks them, `delete` deletes them.
    pub behavior: Option<Behavior>,
    /// The ids of the node's checks that it depends on. The default is `serfHealth` alone. An empty list means none.
    pub checks: Option<Vec<String>>,
    /// The service checks that it depends on: each an id, or an id and its namespace. Needs Consul 1.7 or later.
    pub service_checks: Option<Vec<ServiceCheckEntry>>,
    /// Whether it is never to be destroyed, though it is declared no more, or has to be replaced.
    pub prevent_destroy: Option<bool>,
}

/// A service check that a session depends on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum ServiceCheckEntry {
    /// Its id.
    Id(String),
    /// Its id and its namespace.
    #[schemars(extend("additionalProperties" = false))]
    Full {
        /// Its id.
        id: String,
        /// The namespace of its service (Consul Enterprise).
        #[serde(default)]
        namespace: Option<String>,
    },
}

/// A key, or with `prefix` a tree of keys.
#[derive(Debug, JsonSchema)]
#[schemars(
    inline,
    extend("additionalProperties" = false, "oneOf" = [{"required": ["key"]}, {"required": ["prefix"]}])
)]
pub(super) struct KeyEntry {
    /// The key. Each entry has this, or `prefix`.
    pub key: Option<String>,
    /// What the keys of a tree begin with; it ends in a slash. Then `values` or `folder` tells the keys.
    pub prefix: Option<String>,
    /// The value: a text, or a map of one of `text`, `json`, `base64`, `env`, `file`. Without one, the key keeps the
    /// value that it has.
    pub value: Option<ValueEntry>,
    /// The file whose content is the value: as `value: {file: ...}`.
    pub value_file: Option<String>,
    /// The tree's values, by what follows the prefix.
    pub values: Option<BTreeMap<String, ValueEntry>>,
    /// A folder whose files are the tree's values: what follows the prefix is the file's path in the folder.
    pub folder: Option<String>,
    #[schemars(flatten)]
    pub fields: KeyFields,
}

impl KeyEntry {
    pub fn of(node: &Node<'_>) -> Result<Self, Error> {
        Ok(Self {
            key: field(node, "key")?,
            prefix: field(node, "prefix")?,
            value: field(node, "value")?,
            value_file: field(node, "value_file")?,
            values: field(node, "values")?,
            folder: field(node, "folder")?,
            fields: KeyFields::deserialize(node)?,
        })
    }
}

/// What defaults may say of a key, too.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(inline, extend("additionalProperties" = false))]
pub(super) struct KeyFields {
    /// The number that goes with it. Without one, the key keeps the number that it has.
    pub flags: Option<u64>,
    /// The session that holds it, by its name; or by its `name` and `node`, where several nodes have one of that name.
    /// It is declared in the same call. Not for a tree.
    pub session: Option<HolderEntry>,
    /// Whether it is never to be destroyed, though it is declared no more.
    pub prevent_destroy: Option<bool>,
}

/// A session that holds a key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum HolderEntry {
    /// The one of this name.
    Name(String),
    /// The one of this name on this node.
    #[schemars(extend("additionalProperties" = false))]
    Full {
        /// Its name.
        name: String,
        /// Its node.
        node: String,
    },
}

/// A value.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum ValueEntry {
    /// This text.
    Text(String),
    /// What a map says.
    Form(ValueForm),
}

/// A value, and how it is given.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum ValueForm {
    /// This text.
    Text(String),
    /// This, as JSON: in one line, its maps in the order in which they are written.
    Json(Value),
    /// These bytes, in base64.
    Base64(String),
    /// What an environment variable holds when the plan is made. It is never shown.
    Env(String),
    /// What a file holds, byte by byte. Its path starts at the folder of this document, and stays within the folder that
    /// was named on the command line. It is never shown.
    File(String),
}

/// A service.
#[derive(Debug, JsonSchema)]
#[schemars(inline, extend("additionalProperties" = false))]
pub(super) struct ServiceEntry {
    /// Its name, which instances share.
    pub name: String,
    /// Its id: what tells it from the other services of its node. The default is its name.
    pub id: Option<String>,
    #[schemars(flatten)]
    pub fields: ServiceFields,
}

impl ServiceEntry {
    pub fn of(node: &Node<'_>) -> Result<Self, Error> {
        let name = field(node, "name")?.unwrap_or_default();
        Ok(Self { name, id: field(node, "id")?, fields: ServiceFields::deserialize(node)? })
    }
}

/// What defaults may say of a service, too.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(inline, extend("additionalProperties" = false))]
pub(super) struct ServiceFields {
    /// The node that it is on. Needed, here or in the defaults.
    pub node: Option<String>,
    /// The address at which it is reached. The default is that of its node.
    pub address: Option<String>,
    /// The port at which it is reached.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The port, by its name in `consul_service`.
    #[schemars(range(min = 1, max = 65535))]
    pub service_port: Option<u16>,
    /// Its tags. Their order means nothing.
    pub tags: Option<Vec<String>>,
    /// Its metadata.
    pub meta: Option<BTreeMap<String, String>>,
    /// Whether others may change its tags in the catalog.
    pub enable_tag_override: Option<bool>,
    /// How much of the traffic it gets, by its health. The default is 1 for both.
    pub weights: Option<Weights>,
    /// Its checks, all of them. Without any, those that it has stay. An empty list means none.
    pub checks: Option<Vec<Check>>,
    /// The address of its node, which is then one without an agent.
    pub node_address: Option<String>,
    /// The metadata of its node, which is then one without an agent.
    pub node_meta: Option<BTreeMap<String, String>>,
    /// Whether it is never to be destroyed, though it is declared no more.
    pub prevent_destroy: Option<bool>,
}

/// The JSON Schema of a document. Draft 7, which every editor reads.
pub fn schema() -> Schema {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Document>();
    Tidy.transform(&mut schema);
    schema
}

/// The same without what is for people: what a text is held against.
pub fn bare_schema() -> Schema {
    let mut schema = schema();
    Bare.transform(&mut schema);
    schema
}

/// Takes out what is for people.
struct Bare;

impl Transform for Bare {
    fn transform(&mut self, schema: &mut Schema) {
        for keyword in ["$schema", "description", "title"] {
            schema.remove(keyword);
        }
        transform_subschemas(self, schema);
    }
}

/// Takes out what the derivation leaves behind: line breaks of the source, defaults that are none, numbers' formats. And
/// nulls: a field with nothing behind it is a slip.
struct Tidy;

impl Transform for Tidy {
    fn transform(&mut self, schema: &mut Schema) {
        schema.remove("format");
        schema.remove("default");
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace('\n', " ");
        }
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|name| name != "null");
            if let [one] = types.as_slice() {
                let one = one.clone();
                schema.insert("type".to_owned(), one);
            }
        }
        if let Some(Value::Array(choices)) = schema.get_mut("enum") {
            choices.retain(|choice| !choice.is_null());
        }
        if let Some(Value::Array(alternatives)) = schema.get_mut("anyOf") {
            alternatives.retain(|alternative| alternative["type"] != "null");
            if let [Value::Object(one)] = alternatives.as_slice() {
                let one = one.clone();
                schema.remove("anyOf");
                for (keyword, value) in one {
                    if schema.get(&keyword).is_none() {
                        schema.insert(keyword, value);
                    }
                }
            }
        }
        transform_subschemas(self, schema);
    }
}
