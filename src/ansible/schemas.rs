//! The JSON Schemas of the modules' arguments and results.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, schema_for};
use serde_json::Value;

use super::connection::Connection;
use super::consul_agent::{AgentAnswer, AgentOptions};
use super::consul_catalog_info::{CatalogAnswer, CatalogOptions};
use super::consul_election::{ElectionAnswer, ElectionOptions};
use super::consul_kv::{KvAnswer, KvOptions};
use super::consul_lock::{LockAnswer, LockOptions};
use super::consul_party_info::{PartyAnswer, PartyOptions};
use super::consul_service::{ServiceAnswer, ServiceOptions};
use super::consul_session::{SessionAnswer, SessionOptions};
#[cfg(feature = "spec")]
use super::consul_spec::{SpecAnswer, SpecOptions};

/// The JSON Schemas by name: of each module's arguments, and of its result.
pub fn schemas() -> impl Iterator<Item = (&'static str, Schema)> {
    [
        ("consul_agent", of_options::<AgentOptions>()),
        ("consul_agent.result", of_result::<AgentAnswer>()),
        ("consul_catalog_info", of_options::<CatalogOptions>()),
        ("consul_catalog_info.result", of_result::<CatalogAnswer>()),
        ("consul_election", of_options::<ElectionOptions>()),
        ("consul_election.result", of_result::<ElectionAnswer>()),
        ("consul_kv", of_options::<KvOptions>()),
        ("consul_kv.result", of_result::<KvAnswer>()),
        ("consul_lock", of_options::<LockOptions>()),
        ("consul_lock.result", of_result::<LockAnswer>()),
        ("consul_party_info", of_options::<PartyOptions>()),
        ("consul_party_info.result", of_result::<PartyAnswer>()),
        ("consul_service", of_options::<ServiceOptions>()),
        ("consul_service.result", of_result::<ServiceAnswer>()),
        ("consul_session", of_options::<SessionOptions>()),
        ("consul_session.result", of_result::<SessionAnswer>()),
        #[cfg(feature = "spec")]
        ("consul_spec", of_options::<SpecOptions>()),
        #[cfg(feature = "spec")]
        ("consul_spec.result", of_result::<SpecAnswer>()),
    ]
    .into_iter()
    .map(|(name, mut schema)| {
        Tidy.transform(&mut schema);
        (name, schema)
    })
}

/// The schemas of arguments by the module's name, without what is for people: what the module itself reads.
pub fn options() -> impl Iterator<Item = (&'static str, Schema)> {
    schemas().filter(|(name, _)| !name.ends_with(".result")).map(|(name, mut schema)| {
        Bare.transform(&mut schema);
        (name, schema)
    })
}

/// Takes out what is for people.
struct Bare;

impl Transform for Bare {
    fn transform(&mut self, schema: &mut Schema) {
        for keyword in ["description", "title", "pattern"] {
            schema.remove(keyword);
        }
        transform_subschemas(self, schema);
    }
}

/// A module's own options, and those of the connection behind them.
fn of_options<T: JsonSchema>() -> Schema {
    let mut schema = schema_for!(T);
    let connection = schema_for!(Connection);
    if let (Some(Value::Object(options)), Some(Value::Object(more))) =
        (schema.get_mut("properties"), connection.get("properties"))
    {
        options.extend(more.clone());
    }
    schema
}

/// What is left out where it is empty need not be there.
fn of_result<T: JsonSchema>() -> Schema {
    SchemaSettings::default().for_serialize().into_generator().into_root_schema_for::<T>()
}

/// Takes out what the derivation leaves behind: line breaks of the source, and defaults that are none.
struct Tidy;

impl Transform for Tidy {
    fn transform(&mut self, schema: &mut Schema) {
        if schema.get("default") == Some(&Value::Null) {
            schema.remove("default");
        }
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace('\n', " ");
        }
        transform_subschemas(self, schema);
    }
}
