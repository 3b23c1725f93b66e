//! Consul's HTTP API: from a request to its answer.

mod acl;
mod agent;
mod agent_check;
mod agent_health;
mod call;
mod catalog;
mod control;
mod coordinate;
mod decode;
mod event;
mod health;
mod kv;
mod path;
mod read;
mod reply;
mod routes;
mod session;
mod status;
mod txn;
mod views;

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::agent::Agent;
use super::fault::{Fate, Line};
use super::line::Cut;
use call::{Call, Wait};
use reply::{Answer, Refusal, Reply};
use routes::{Action, Route};

/// The longest body of any request but those below, in bytes. Consul has no such bound.
const LONGEST_BODY: usize = 1024 * 1024;

/// Below it is the agent's own, which no fault keeps from working.
const CONTROL: &str = "/v1/lictor/";

/// How often an agent that is frozen looks whether it still is.
const TICK: Duration = Duration::from_millis(20);

/// How much is read of what is refused, in bytes.
const DRAINED: usize = 8 * 1024 * 1024;

/// How long its sender may pause meanwhile.
const LINGER: Duration = Duration::from_millis(500);

/// How long a request may take to come in.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a body is bounded by a setting of Consul's: the path, the setting, its default in bytes.
const BOUNDED: [(&str, &str, usize); 2] =
    [("/v1/kv/", "kv_max_value_size", 512 * 1024), ("/v1/txn", "txn_max_req_len", 512 * 1024)];

/// Answers a request, whatever it is, as far as nothing goes wrong on purpose.
pub(super) async fn handle(Shared(agent): Shared<Agent>, request: Request) -> Response {
    let control = request.uri().path().starts_with(CONTROL);
    let fate = if control { Fate::default() } else { agent.fate() };
    let cut = request.extensions().get::<Cut>().cloned().unwrap_or_default();
    if fate.line == Line::Reset {
        cut.now();
        return Response::default(); // which never leaves
    }
    if !fate.latency.is_zero() {
        tokio::time::sleep(fate.latency).await;
    }
    while !control && agent.frozen().is_some() {
        tokio::time::sleep(TICK).await;
    }
    let answer = match fate.refusal(request.uri()) {
        Some(refusal) => Err(refusal),
        None => answer(&agent, request).await,
    };
    while !control && agent.frozen().is_some() {
        tokio::time::sleep(TICK).await; // it began while the agent was answering
    }
    let mut reply = answer.unwrap_or_else(Reply::from);
    match fate.line {
        Line::Dropped => cut.now(),
        Line::Garbled => reply.body = garbled(&reply.body),
        Line::Sound | Line::Reset => {}
    }
    reply.into_response()
}

impl Fate {
    /// What a request is answered with in place of being done.
    fn refusal(&self, uri: &Uri) -> Option<Refusal> {
        if let Some(status) = self.status {
            return Some(Refusal::new(status, "rpc error making call: a fault on purpose"));
        }
        let local = uri.path().starts_with("/v1/agent/") || uri.path().starts_with("/v1/status/");
        let stale =
            uri.query().unwrap_or_default().split('&').any(|name| name == "stale" || name.starts_with("stale="));
        (self.leaderless && !local && !stale).then(|| Refusal::error("No cluster leader"))
    }
}

/// An answer that nobody can read.
fn garbled(body: &[u8]) -> Bytes {
    body.iter().take(body.len().div_ceil(2)).map(|byte| byte ^ 0x15).collect()
}

async fn answer(agent: &Agent, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    if let Some(reply) = path::unclean(&parts) {
        return reply;
    }
    let body = read_body(parts.uri.path(), parts.headers.get(header::CONTENT_LENGTH), body).await?;
    let mut call = Call::new(&parts, body);
    call.rights = agent.with(|state| state.acls.rights(call.token.as_deref()));
    if !call.path.chars().all(path::prints) {
        return Ok(Reply::empty(StatusCode::BAD_REQUEST));
    }
    let reply = respond(agent, &call).await;
    if call.has("pretty") { reply.map(indented) } else { reply }
}

/// Reads a body, unless it is too long or too slow.
async fn read_body(path: &str, length: Option<&HeaderValue>, body: Body) -> Result<Bytes, Refusal> {
    let bound = BOUNDED.iter().find(|(prefix, ..)| path.starts_with(prefix));
    let most = bound.map_or(LONGEST_BODY, |(.., most)| *most);
    let refusal = |length: &str| {
        let see = bound.map_or_else(String::new, |(_, setting, _)| {
            format!(" See https://www.consul.io/docs/agent/options.html#{setting}.")
        });
        let text = format!("Request body({length} bytes) too large, max size: {most} bytes.{see}");
        Refusal { close: true, ..Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text) }
    };
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if let Some(length) = length.filter(|length| usize::try_from(*length).is_ok_and(|length| length > most)) {
        drain(body).await;
        return Err(refusal(&length.to_string()));
    }
    let mut body = Limited::new(body, most);
    match tokio::time::timeout(PATIENCE, (&mut body).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            drain(body).await;
            Err(refusal("more"))
        }
        Ok(Err(error)) => Err(Refusal { close: true, ..Refusal::bad(error.to_string()) }),
        Err(_) => Err(Refusal { close: true, ..Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body is too slow") }),
    }
}

/// Lets a body that is too long come in for a while, and forgets it: who still sends does not read the answer.
async fn drain<B: HttpBody<Data = Bytes> + Unpin>(mut body: B) {
    let mut length = 0;
    while length < DRAINED
        && let Ok(Some(Ok(frame))) = tokio::time::timeout(LINGER, body.frame()).await
    {
        length += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// Finds what is meant, and does it.
async fn respond(agent: &Agent, call: &Call) -> Answer {
    let Some(route) = Route::of(&call.path) else { return routes::unknown(&call.path) };
    if call.method == "OPTIONS" {
        return Ok(Reply::empty(StatusCode::OK).with(header::ALLOW, &route.allow()));
    }
    let Some(action) = route.action(call.method.as_str()) else {
        let text = format!("method {} not allowed", call.method);
        let refusal = Reply::from(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text));
        return Ok(refusal.with(header::ALLOW, &route.allow()));
    };
    match action {
        Action::Control(act) => act(agent, call),
        Action::Write(act) => agent.with(|state| {
            state.check(call)?;
            act(state, call)
        }),
        Action::Read(read) => {
            let wait = call.wait()?;
            block(agent, call, wait, read).await
        }
    }
}

/// Reads; where the request says so, again at each change, until there is something newer than it knows.
async fn block(agent: &Agent, call: &Call, wait: Option<Wait>, read: routes::Read) -> Answer {
    let mut changes = agent.changes();
    let start = agent.now();
    loop {
        changes.mark_unchanged();
        let answer = agent.with(|state| {
            state.check(call)?;
            read(state, call)
        });
        let answer = answer.or_else(told_by_server)?;
        let known = wait.filter(|wait| {
            let old = |index| if answer.by_agent { index == wait.index } else { index <= wait.index };
            answer.index.is_some_and(old)
        });
        let Some(Wait { time, .. }) = known else { return Ok(answer) };
        let left = time.saturating_sub(agent.now().saturating_sub(start));
        if left.is_zero() {
            return Ok(answer);
        }
        let _ = tokio::time::timeout(left, changes.changed()).await; // the time is looked at above
    }
}

/// An error that the server answers a read with has an index, 1 at least.
fn told_by_server(refusal: Refusal) -> Answer {
    if !refusal.by_server {
        return Err(refusal);
    }
    Ok(Reply::from(refusal).with(HeaderName::from_static("x-consul-index"), "1"))
}

impl super::state::State {
    /// What every request says, whatever it is about.
    fn check(&self, call: &Call) -> Result<(), Refusal> {
        call.check(&self.identity.datacenter)
    }
}

/// JSON as people read it.
fn indented(reply: Reply) -> Reply {
    let is_json = reply.headers.iter().any(|(name, value)| name == header::CONTENT_TYPE && value == "application/json");
    match crate::json::read::<serde_json::Value>(&reply.body).and_then(|value| serde_json::to_vec_pretty(&value)) {
        Ok(mut body) if is_json => {
            body.push(b'\n');
            Reply { body: body.into(), ..reply }
        }
        _ => reply,
    }
}
