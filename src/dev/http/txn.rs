//! `/v1/txn`

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::decode::{Fields, kind, parse};
use super::reply::{Answer, Refusal, Reply};
use super::{read, views};
use crate::dev::state::{
    CatalogItem, CatalogOperation, Fault, KvOperation, Operation, Resource, Rights, Service, State, TxnFailure,
    TxnResult,
};

/// No transaction has more operations.
const MOST: usize = 64;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    results: Option<Vec<Value>>,
    errors: Option<Vec<TxnFailure>>,
    /// Of one that only reads.
    #[serde(flatten)]
    meta: Option<Meta>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    index: u64,
    last_contact: u64,
    known_leader: bool,
    consistency_level: &'static str,
}

/// Does several things at once, or nothing.
pub(super) fn apply(state: &mut State, call: &Call) -> Answer {
    let fault = |text: String| Refusal::bad(format!("Failed to parse body: {text}"));
    call.wait()?; // it waits for nothing, but what is no index is refused
    let items = items(&call.body).map_err(fault)?;
    let count = items.len();
    if count > MOST {
        let text = format!("Transaction contains too many operations ({count} > {MOST})");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    if let Some(left_out) = items.iter().find_map(proxied) {
        return Err(left_out);
    }
    let operations: Vec<Option<Operation>> = items.iter().map(operation).collect::<Result<_, _>>().map_err(fault)?;
    let mut operations: Vec<Operation> = operations.into_iter().flatten().collect();
    for operation in &mut operations {
        settle(operation, &state.identity.datacenter);
    }
    let meta = (!operations.iter().any(Operation::writes)).then_some(Meta {
        index: 0,
        last_contact: 0,
        known_leader: true,
        consistency_level: "",
    });
    let rights = call.rights()?;
    let admit = |state: &State, operation: &Operation| {
        if admits(state, rights, operation) { Ok(()) } else { Err(Fault::new("Permission denied")) }
    };
    let reads = meta.is_some();
    let reply = match state.transact(&operations, admit) {
        Ok(results) => {
            let results = results.iter().filter(|result| shows(rights, result)).map(view).collect();
            Reply::json(&Outcome { results: Some(results), errors: None, meta })
        }
        Err(errors) => Reply::json_with(StatusCode::CONFLICT, &Outcome { results: None, errors: Some(errors), meta }),
    };
    Ok(if reads { reply.with_leader() } else { reply })
}

fn items(body: &[u8]) -> Result<Vec<Map<String, Value>>, String> {
    const LIST: &str = "api.TxnOps";
    let mismatch =
        |value: &Value, of: &str| format!("json: cannot unmarshal {} into Go value of type {of}", kind(value));
    let list = match parse(body)? {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        other => return Err(mismatch(&other, LIST)),
    };
    list.into_iter()
        .map(|item| match item {
            Value::Object(map) => Ok(map),
            Value::Null => Ok(Map::new()),
            other => Err(mismatch(&other, "api.TxnOp")),
        })
        .collect()
}

/// Whether an operation is about a proxy, which is left out.
fn proxied(item: &Map<String, Value>) -> Option<Refusal> {
    read::left_out(item.get("Service")?.get("Service")?.as_object()?)
}

/// Reads an operation: the first kind that it names. One that names none is none.
fn operation(item: &Map<String, Value>) -> Result<Option<Operation>, String> {
    let fields = Fields::new("TxnOp", item).only(&["KV", "Node", "Service", "Check"])?;
    let key = fields.nested("KV", "api.KVTxnOp", key)?.map(Operation::Key);
    let node = fields.nested("Node", "api.NodeTxnOp", |fields| {
        let fields = fields.only(&["Verb", "Node"])?;
        let read_node = |fields: Fields<'_>| {
            let datacenter = fields.text("Datacenter")?;
            let modify_index = fields.index("ModifyIndex")?;
            Ok(crate::dev::state::Node { datacenter, modify_index, ..read::node_fields(&fields, "Meta")? })
        };
        let node = fields.nested("Node", "api.Node", read_node)?.unwrap_or_default();
        Ok(CatalogOperation { verb: fields.text("Verb")?, item: CatalogItem::Node(node) })
    })?;
    let service = fields.nested("Service", "api.ServiceTxnOp", |fields| {
        let fields = fields.only(&["Verb", "Node", "Service"])?;
        let service = fields.nested("Service", "api.AgentService", read::service)?.unwrap_or_default();
        let item = CatalogItem::Service(Service { node: fields.text("Node")?, ..service });
        Ok(CatalogOperation { verb: fields.text("Verb")?, item })
    })?;
    let check = fields.nested("Check", "api.CheckTxnOp", |fields| {
        let fields = fields.only(&["Verb", "Check"])?;
        let mut check = fields.nested("Check", "api.HealthCheck", read::check)?.unwrap_or_default();
        // Nothing derives it from the definition here.
        check.kind.clear();
        Ok(CatalogOperation { verb: fields.text("Verb")?, item: CatalogItem::Check(check) })
    })?;
    Ok(key.or_else(|| node.or(service).or(check).map(Box::new).map(Operation::Catalog)))
}

fn key(fields: Fields<'_>) -> Result<KvOperation, String> {
    let fields = fields.only(&["Verb", "Key", "Value", "Flags", "Index", "Session", "Namespace"])?;
    Ok(KvOperation {
        verb: fields.text("Verb")?,
        key: fields.text("Key")?,
        value: fields.bytes("Value")?,
        flags: fields.index("Flags")?,
        index: fields.index("Index")?,
        session: fields.text("Session")?,
    })
}

/// What is left unsaid.
fn settle(operation: &mut Operation, datacenter: &str) {
    let Operation::Catalog(operation) = operation else { return };
    match &mut operation.item {
        CatalogItem::Node(node) if node.datacenter.is_empty() => datacenter.clone_into(&mut node.datacenter),
        CatalogItem::Service(service) if service.id.is_empty() => service.id.clone_from(&service.name),
        CatalogItem::Check(check) if check.id.is_empty() => check.id.clone_from(&check.name),
        _ => {}
    }
}

/// Whether somebody may do this. What is only read is left out of the results instead.
fn admits(state: &State, rights: &Rights, operation: &Operation) -> bool {
    if rights.unlimited {
        return true;
    }
    match operation {
        Operation::Key(KvOperation { verb, key, .. }) => match verb.as_str() {
            "get" | "get-tree" => true,
            "check-session" | "check-index" => rights.read(Resource::Key, key),
            "delete-tree" => rights.write_below(key),
            _ => rights.write(Resource::Key, key),
        },
        Operation::Catalog(operation) if !operation.writes() => true,
        Operation::Catalog(operation) => match &operation.item {
            CatalogItem::Node(node) => rights.write(Resource::Node, &node.node),
            CatalogItem::Service(service) => rights.write(Resource::Service, &service.name),
            CatalogItem::Check(check) if check.service_id.is_empty() => rights.write(Resource::Node, &check.node),
            CatalogItem::Check(check) => {
                let there = state.catalog.service(&check.node, &check.service_id);
                let name = there.map_or(check.service_name.as_str(), |service| service.name.as_str());
                rights.write(Resource::Service, name)
            }
        },
    }
}

fn shows(rights: &Rights, result: &TxnResult) -> bool {
    match result {
        TxnResult::Key(entry) => rights.read(Resource::Key, &entry.key),
        TxnResult::Node(node) => rights.read(Resource::Node, &node.node),
        TxnResult::Service(service) => rights.read(Resource::Service, &service.name),
        TxnResult::Check(check) if check.service_name.is_empty() => rights.read(Resource::Node, &check.node),
        TxnResult::Check(check) => rights.read(Resource::Service, &check.service_name),
    }
}

/// A result. A list of tags that is empty is none here.
fn view(result: &TxnResult) -> Value {
    let without_tags = |mut view: Value, name: &str| {
        if let Some(tags) = view.get_mut(name)
            && tags.as_array().is_some_and(Vec::is_empty)
        {
            *tags = Value::Null;
        }
        view
    };
    match result {
        TxnResult::Key(entry) => json!({"KV": entry}),
        TxnResult::Node(node) => json!({"Node": node}),
        TxnResult::Service(service) => json!({"Service": without_tags(views::of_node(service), "Tags")}),
        TxnResult::Check(check) => json!({"Check": without_tags(json!(check), "ServiceTags")}),
    }
}
