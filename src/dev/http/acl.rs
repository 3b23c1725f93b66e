//! `/v1/acl/`: tokens and policies. Roles, auth methods and identities are left out.

use std::time::SystemTime;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::decode::{self, Fields};
use super::reply::{Answer, Refusal, Reply};
use crate::dev::state::{Access, Fault, Policy, PolicyLink, Resource, State, Table, Token, check_uuid, digest};

const TOKEN: &str = "/v1/acl/token/";
const POLICY: &str = "/v1/acl/policy/";

/// There are ACLs, and whoever asks may do this to them.
fn admit(state: &State, call: &Call, access: Access) -> Result<(), Refusal> {
    enabled(state)?;
    if call.rights()?.may(access, Resource::Acl, "") { Ok(()) } else { Err(Refusal::denied_by_server()) }
}

fn enabled(state: &State) -> Result<(), Refusal> {
    if state.acls.enabled() { Ok(()) } else { Err(Refusal::no_acls()) }
}

fn not_found() -> Refusal {
    Refusal { by_server: true, ..Refusal::new(StatusCode::FORBIDDEN, "ACL not found") }
}

fn created() -> String {
    humantime::format_rfc3339_nanos(SystemTime::now()).to_string()
}

/// A token; its secret only for those who may see it.
fn token_view(state: &State, token: &Token, secret: Option<&str>) -> Map<String, Value> {
    let links = state.acls.links(token);
    let mut view = Map::new();
    view.insert("AccessorID".to_owned(), json!(token.accessor));
    if let Some(secret) = secret {
        view.insert("SecretID".to_owned(), json!(secret));
    }
    view.insert("Description".to_owned(), json!(token.description));
    if !links.is_empty() {
        view.insert("Policies".to_owned(), json!(links));
    }
    view.insert("Local".to_owned(), json!(token.local));
    view.insert("CreateTime".to_owned(), json!(token.created));
    let names: Vec<&str> = links.iter().map(|link| link.id.as_str()).collect();
    view.insert("Hash".to_owned(), json!(digest(&[&token.description, &names.join(",")])));
    view.insert("CreateIndex".to_owned(), json!(token.create_index));
    view.insert("ModifyIndex".to_owned(), json!(token.modify_index));
    view
}

/// A policy; without its rules in a list.
fn policy_view(policy: &Policy, listed: bool) -> Map<String, Value> {
    let mut view = Map::new();
    view.insert("ID".to_owned(), json!(policy.id));
    view.insert("Name".to_owned(), json!(policy.name));
    view.insert("Description".to_owned(), json!(policy.description));
    if !listed {
        view.insert("Rules".to_owned(), json!(policy.rules));
    }
    match policy.datacenters.is_empty() {
        false => drop(view.insert("Datacenters".to_owned(), json!(policy.datacenters))),
        true if listed => drop(view.insert("Datacenters".to_owned(), Value::Null)),
        true => {}
    }
    view.insert("Hash".to_owned(), json!(digest(&[&policy.name, &policy.description, &policy.rules])));
    view.insert("CreateIndex".to_owned(), json!(policy.create_index));
    view.insert("ModifyIndex".to_owned(), json!(policy.modify_index));
    view
}

fn tokens_index(state: &State) -> u64 {
    state.tables.last(&[Table::Tokens])
}

fn policies_index(state: &State) -> u64 {
    state.tables.last(&[Table::Policies])
}

/// What whoever asks may do, question by question.
pub(super) fn authorize(state: &mut State, call: &Call) -> Answer {
    const MOST: usize = 64;
    const RESOURCES: [(&str, Resource); 10] = [
        ("acl", Resource::Acl),
        ("agent", Resource::Agent),
        ("event", Resource::Event),
        ("key", Resource::Key),
        ("keyring", Resource::Keyring),
        ("node", Resource::Node),
        ("operator", Resource::Operator),
        ("query", Resource::Query),
        ("service", Resource::Service),
        ("session", Resource::Session),
    ];
    enabled(state)?;
    let fault = |text: String| Refusal::bad(format!("Failed to decode request body: {text}"));
    let questions = match decode::parse(&call.body).map_err(fault)? {
        Value::Array(questions) => questions,
        other => {
            let of = "[]structs.ACLAuthorizationRequest";
            return Err(fault(format!("json: cannot unmarshal {} into Go value of type {of}", decode::kind(&other))));
        }
    };
    if questions.len() > MOST {
        return Err(Refusal::bad(format!("Refusing to process more than {MOST} authorizations at once")));
    }
    let rights = call.rights()?;
    let answer = |mut question: Map<String, Value>| {
        let text = |name: &str| question.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let [resource, access, segment] = ["Resource", "Access", "Segment"].map(text);
        let named = RESOURCES.into_iter().find(|(name, _)| *name == resource);
        let Some((_, resource)) = named else {
            return Err(Refusal::error(&format!("Invalid ACL resource requested: {resource:?}")));
        };
        let access = match access.as_str() {
            "read" => Access::Read,
            "list" => Access::List,
            "write" => Access::Write,
            other => {
                let text = format!("Invalid access level for {} resource requested: {other}", text("Resource"));
                return Err(Refusal::error(&text));
            }
        };
        question.insert("Allow".to_owned(), json!(rights.may(access, resource, &segment)));
        Ok(question)
    };
    let questions = questions.into_iter().filter_map(|question| match question {
        Value::Object(question) => Some(answer(question)),
        _ => None,
    });
    Ok(Reply::json(&questions.collect::<Result<Vec<_>, _>>()?))
}

pub(super) fn bootstrap(state: &mut State, _: &Call) -> Answer {
    enabled(state)?;
    let refused = |Fault(text)| Refusal::new(StatusCode::FORBIDDEN, text);
    let token = state.bootstrap(&created()).map_err(refused)?;
    Ok(Reply::json(&token_view(state, &token, Some(&token.secret))))
}

pub(super) fn tokens(state: &State, call: &Call) -> Answer {
    admit(state, call, Access::Read)?;
    let policy = call.text("policy");
    let with = state.acls.tokens().filter(|token| policy.is_empty() || token.policies.iter().any(|id| id == policy));
    // Those of the whole cluster first.
    let (local, global): (Vec<&Token>, Vec<&Token>) = with.partition(|token| token.local);
    let all = global.into_iter().chain(local).map(|token| token_view(state, token, None));
    let all: Vec<Map<String, Value>> = all.collect();
    Ok(Reply::json(&all).at(tokens_index(state)))
}

pub(super) fn own_token(state: &State, call: &Call) -> Answer {
    enabled(state)?;
    let token = call.token.as_deref().and_then(|secret| state.acls.token(secret)).ok_or_else(not_found)?;
    Ok(Reply::json(&token_view(state, token, Some(&token.secret))).at(tokens_index(state)))
}

pub(super) fn token(state: &State, call: &Call) -> Answer {
    enabled(state)?;
    let accessor = named(call, TOKEN, "token")?;
    admit(state, call, Access::Read)?;
    check_uuid(accessor).map_err(|Fault(text)| Fault(format!("failed acl token lookup: {text}")))?;
    let token = state.acls.token_of(accessor).ok_or_else(not_found)?;
    let secret = if call.rights()?.write(Resource::Acl, "") { token.secret.as_str() } else { "<hidden>" };
    Ok(Reply::json(&token_view(state, token, Some(secret))).at(tokens_index(state)))
}

fn named<'a>(call: &'a Call, prefix: &str, what: &str) -> Result<&'a str, Refusal> {
    match call.rest(prefix) {
        "" => Err(Refusal::bad(format!("Bad request: Missing {what} ID"))),
        id => Ok(id),
    }
}

/// The body of a token: what it is to be, and its policies.
fn token_body(call: &Call) -> Result<(Token, Vec<PolicyLink>), Refusal> {
    let fault = |text: String| Refusal::bad(format!("Bad request: Token decoding failed: {text}"));
    let map = match decode::parse(&call.body).map_err(fault)? {
        Value::Object(map) => map,
        other => {
            let of = "struct { ExpirationTTL interface {}; Hash string; *structs.Alias }";
            return Err(fault(format!("json: cannot unmarshal {} into Go value of type {of}", decode::kind(&other))));
        }
    };
    const LEFT_OUT: [&str; 6] =
        ["Roles", "ServiceIdentities", "NodeIdentities", "ExpirationTTL", "ExpirationTime", "Rules"];
    const KNOWN: [&str; 13] = [
        "AccessorID",
        "SecretID",
        "Description",
        "Policies",
        "Local",
        "CreateTime",
        "Hash",
        "CreateIndex",
        "ModifyIndex",
        "Namespace",
        "AuthMethod",
        "ID",
        "Type",
    ];
    let fields = Fields::new("", &map);
    let says = |name: &&'static str| fields.get(name).is_some_and(|value| *value != json!([]) && value != "");
    if let Some(name) = LEFT_OUT.into_iter().find(says) {
        return Err(Refusal::missing(&format!("a token's {name}")));
    }
    let read = || {
        let names: Vec<&str> = KNOWN.into_iter().chain(LEFT_OUT).collect();
        let fields = fields.only(&names)?;
        let link = |fields: Fields<'_>| Ok(PolicyLink { id: fields.text("ID")?, name: fields.text("Name")? });
        let token = Token {
            accessor: fields.text("AccessorID")?,
            secret: fields.text("SecretID")?,
            description: fields.text("Description")?,
            local: fields.flag("Local")?,
            created: created(),
            ..Token::default()
        };
        Ok((token, fields.list("Policies", "structs.ACLTokenPolicyLink", link)?))
    };
    read().map_err(fault)
}

pub(super) fn create_token(state: &mut State, call: &Call) -> Answer {
    enabled(state)?;
    let (token, links) = token_body(call)?;
    admit(state, call, Access::Write)?;
    let token = state.create_token(token, &links)?;
    Ok(Reply::json(&token_view(state, &token, Some(&token.secret))))
}

/// Changes a token, or makes one of the same policies (`/clone`).
pub(super) fn update_token(state: &mut State, call: &Call) -> Answer {
    enabled(state)?;
    let accessor = named(call, TOKEN, "token")?;
    let (token, links) = token_body(call)?;
    admit(state, call, Access::Write)?;
    if let Some(original) = accessor.strip_suffix("/clone") {
        let original = state.acls.token_of(original).ok_or_else(not_found)?.clone();
        let description = if token.description.is_empty() { original.description.clone() } else { token.description };
        let links = state.acls.links(&original);
        let clone = Token { description, local: original.local, created: created(), ..Token::default() };
        let clone = state.create_token(clone, &links)?;
        return Ok(Reply::json(&token_view(state, &clone, Some(&clone.secret))));
    }
    if !token.accessor.is_empty() && token.accessor != accessor {
        return Err(Refusal::bad("Bad request: Token Accessor ID in URL and payload do not match"));
    }
    let token = state.update_token(accessor, &token, &links)?;
    Ok(Reply::json(&token_view(state, &token, Some(&token.secret))))
}

pub(super) fn delete_token(state: &mut State, call: &Call) -> Answer {
    enabled(state)?;
    let accessor = named(call, TOKEN, "token")?;
    if check_uuid(accessor).is_ok() {
        admit(state, call, Access::Write)?;
    }
    state.delete_token(accessor, call.token.as_deref())?;
    Ok(Reply::json(&true))
}

pub(super) fn policies(state: &State, call: &Call) -> Answer {
    admit(state, call, Access::Read)?;
    let all: Vec<Map<String, Value>> = state.acls.policies().map(|policy| policy_view(policy, true)).collect();
    Ok(Reply::json(&all).at(policies_index(state)))
}

pub(super) fn policy(state: &State, call: &Call) -> Answer {
    enabled(state)?;
    let id = named(call, POLICY, "policy")?;
    admit(state, call, Access::Read)?;
    check_uuid(id).map_err(|Fault(text)| Fault(format!("failed acl policy lookup: {text}")))?;
    let policy = state.acls.policy(id).ok_or_else(not_found)?;
    Ok(Reply::json(&policy_view(policy, false)).at(policies_index(state)))
}

pub(super) fn policy_named(state: &State, call: &Call) -> Answer {
    enabled(state)?;
    let name = match call.rest("/v1/acl/policy/name/") {
        "" => return Err(Refusal::bad("Bad request: Missing policy Name")),
        name => name,
    };
    admit(state, call, Access::Read)?;
    let policy = state.acls.policy_named(name).ok_or_else(not_found)?;
    Ok(Reply::json(&policy_view(policy, false)).at(policies_index(state)))
}

/// The body of a policy: its id, where it names one, and what it is to be.
fn policy_body(call: &Call) -> Result<Policy, Refusal> {
    let fault = |text: String| Refusal::bad(format!("Bad request: Policy decoding failed: {text}"));
    let map = match decode::parse(&call.body).map_err(fault)? {
        Value::Object(map) => map,
        other => {
            let of = "struct { Hash string; *structs.Alias }";
            return Err(fault(format!("json: cannot unmarshal {} into Go value of type {of}", decode::kind(&other))));
        }
    };
    let read = || {
        let fields = Fields::new("", &map).only(&[
            "ID",
            "Name",
            "Description",
            "Rules",
            "Syntax",
            "Datacenters",
            "Hash",
            "CreateIndex",
            "ModifyIndex",
            "Namespace",
        ])?;
        Ok(Policy {
            id: fields.text("ID")?,
            name: fields.text("Name")?,
            description: fields.text("Description")?,
            rules: fields.text("Rules")?,
            datacenters: fields.texts("Datacenters")?.unwrap_or_default(),
            ..Policy::default()
        })
    };
    read().map_err(fault)
}

pub(super) fn create_policy(state: &mut State, call: &Call) -> Answer {
    enabled(state)?;
    let policy = policy_body(call)?;
    if !policy.id.is_empty() {
        return Err(Refusal::bad("Bad request: Cannot specify the ID when creating a new policy"));
    }
    admit(state, call, Access::Write)?;
    Ok(Reply::json(&policy_view(&state.set_policy(None, policy)?, false)))
}

pub(super) fn update_policy(state: &mut State, call: &Call) -> Answer {
    enabled(state)?;
    let id = named(call, POLICY, "policy")?;
    let policy = policy_body(call)?;
    if !policy.id.is_empty() && policy.id != id {
        return Err(Refusal::bad("Bad request: Policy ID in URL and payload do not match"));
    }
    admit(state, call, Access::Write)?;
    Ok(Reply::json(&policy_view(&state.set_policy(Some(id), policy)?, false)))
}

pub(super) fn delete_policy(state: &mut State, call: &Call) -> Answer {
    enabled(state)?;
    let id = named(call, POLICY, "policy")?;
    admit(state, call, Access::Write)?;
    state.delete_policy(id)?;
    Ok(Reply::json(&true))
}
