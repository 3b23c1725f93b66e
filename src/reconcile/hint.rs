//! What to try next, for people. Both faces print it behind the error.

use crate::consul;
use crate::plan::UnsafePlan;
use crate::plan::service::UnsafeService;

use super::{Error, RecordError};

/// A part of Consul's (or the TLS library's) text, and what to try where it appears.
const BY_TEXT: &[(&str, &str)] = &[
    ("Missing node registration", "no such node in this datacenter: check `node` and `datacenter`"),
    (
        "Scripts are disabled on this agent",
        "let the agent run scripts (`enable_script_checks` in its configuration), or take a check of another kind",
    ),
    ("registration", "no such check on this node: give ids that /v1/health/node/NODE lists"),
    ("critical state", "Consul makes no session that depends on a critical check: mend the check first"),
    ("No path to datacenter", "no such datacenter: `consul catalog datacenters` lists them"),
    ("cross datacenter lock", "this agent is a client: for another datacenter, set `host` to one of its servers"),
    ("Namespaces are a Consul Enterprise feature", "leave `namespace` (and CONSUL_NAMESPACE) out"),
    ("No cluster leader", "the cluster has no leader: `consul operator raft list-peers` shows its servers"),
    ("ACL not found", "the token is unknown here: check `token`, `token_file`, CONSUL_HTTP_TOKEN"),
    ("HTTP request to an HTTPS server", "the agent speaks TLS: take https: `scheme`, or a URL for the address"),
    (
        "UnknownIssuer",
        "the agent's certificate is signed by an authority that is not trusted here: name it with `ca_path`",
    ),
    ("certificate expired", "the agent's certificate has expired: renew it"),
    (
        "certificate not valid for name",
        "the certificate is for another name: set `tls_server_name` (a Consul server's is server.DATACENTER.consul)",
    ),
    (
        "alert: BadCertificate",
        "the agent does not accept our certificate, or asks for one: set `client_cert` and `client_key`",
    ),
    ("alert: CertificateRequired", "the agent asks for a client certificate: set `client_cert` and `client_key`"),
    (
        "corrupt message",
        "the agent does not speak TLS on this port: take http (`scheme`, or a URL for the address), or its https port",
    ),
];

impl Error {
    /// What to try next, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Consul(error) => of_consul(error),
            Self::Interrupted { source, .. } => source.hint(),
            Self::HalfDone { source, .. } | Self::Batch { source, .. } => of_consul(source),
            Self::Object { source, .. } => source.hint(),
            Self::Record(RecordError::Damaged { .. }) => Some(
                "put the record back as it was, from a snapshot of Consul; or delete its key: then the owner has nothing, \
                 and `lictor adopt` takes its objects over again"
                    .to_owned(),
            ),
            Self::Record(RecordError::Edited { .. }) => Some(
                "put it back as it was; or, where the change was meant, take its `digest` out: then it counts as it stands"
                    .to_owned(),
            ),
            Self::Record(RecordError::Newer { .. }) => Some("use that version, or a later one".to_owned()),
            Self::OwnerLocked { .. } => Some(
                "let it finish, or wait for it longer; if it was killed, its lock ends by itself within half a minute"
                    .to_owned(),
            ),
            Self::LockLost { .. } => Some("run it again: it finishes what was begun".to_owned()),
            Self::Denied { .. } => Some("the token needs `key:write` for the key".to_owned()),
            Self::OtherAgent { .. } => Some(
                "register the services of that node from that node, or reach its agent by an address of its own".to_owned(),
            ),
            Self::Service(UnsafeService::HasAgent { .. }) => Some(
                "register the service with that node's agent: run this on that node, or name its agent by `host`, and \
                 leave `node` out"
                    .to_owned(),
            ),
            Self::Service(UnsafeService::NeedsAddress { .. }) => Some(
                "check the node's name: `lictor catalog nodes` lists those that there are; one without an agent is made \
                 where its `node_address` is given"
                    .to_owned(),
            ),
            Self::Service(UnsafeService::IdTaken { .. }) => {
                Some("write the id as it is there, or deregister that service first".to_owned())
            }
            Self::Service(UnsafeService::CheckTaken { .. }) => Some("give the check another `id` or `name`".to_owned()),
            Self::Unsafe(UnsafePlan::LocksHeld { .. }) => {
                Some("wait until the lock is free; or replace it all the same with `force`; or keep the session as it is: `on_drift` keep".to_owned())
            }
            Self::Held { .. } | Self::LockDelay { .. } => {
                Some("a task may wait for it or be skipped (`on_busy`); a plain write goes through with `force`".to_owned())
            }
            Self::NotAllowed { key, .. } => Some(may_key(key, "write")),
            Self::Partly { source, .. } if source.is_denied() => Some(may_key("KEY", "write")),
            Self::Partly { .. } => {
                Some("run it again: it finds what was done, and does the rest as it stands then".to_owned())
            }
            Self::NoSession { .. } => Some(
                "where there is one, the token may not see it: that takes `session \"NODE\" { policy = \"read\" }` for \
                 its node"
                    .to_owned(),
            ),
            Self::Unsafe(UnsafePlan::Drifted { .. }) => {
                Some("ask for the properties that it has, or have it replaced: `on_drift` replace".to_owned())
            }
            Self::Unsafe(UnsafePlan::NotAsGiven { .. }) => Some(
                "sessions cannot be changed, and a replacement would have another id: leave the differing options \
                 out, or leave `id` out and name the session"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

fn of_consul(error: &consul::Error) -> Option<String> {
    let text = error.to_string();
    if let Some((_, hint)) = BY_TEXT.iter().find(|(part, _)| text.contains(part)) {
        return Some((*hint).to_owned());
    }
    match error {
        // Go's unicode.IsPrint decides; `disable_http_unprintable_char_filter` in the agent's configuration lifts it.
        consul::Error::Status { status: 400, body, .. } if body.is_empty() => Some(
            "Consul refuses a path with a character that does not print, such as a no-break space or a zero-width one: \
             write the name, or the key, without it"
                .to_owned(),
        ),
        consul::Error::Connect { .. } => Some(
            "is the agent running there? Its address comes from `host` and `port`, --http-addr, or CONSUL_HTTP_ADDR"
                .to_owned(),
        ),
        error
            if error.leaves_open() && error.call().is_some_and(|call| call.path.starts_with("/v1/session/create")) =>
        {
            Some("the session may have been created all the same: run it again, which finds it".to_owned())
        }
        consul::Error::Timeout { .. } => {
            Some("the agent is slow or frozen: look at its log, or raise `timeout`".to_owned())
        }
        consul::Error::Redirect { .. } | consul::Error::Decode { .. } => {
            Some("is that Consul's HTTP API, or a proxy before it?".to_owned())
        }
        error if error.is_denied() => error.call().map(denied),
        _ => None,
    }
}

/// The ACL rule that a request needs.
fn denied(call: &consul::Call) -> String {
    let path = call.path.as_str();
    if path.starts_with("/v1/kv/") {
        return may_key("KEY", if call.method == "GET" { "read" } else { "write" });
    }
    let rule = match path.strip_prefix("/v1/").and_then(|path| path.split(['/', '?']).next()) {
        Some("session") => "the token needs `session \"NODE\" { policy = \"write\" }` for the session's node",
        Some("agent") => denied_by_agent(path),
        Some("catalog") => {
            "the token needs `service \"NAME\" { policy = \"write\" }` for the service's name, and `node \"NODE\" { \
             policy = \"write\" }` to make or change the node"
        }
        _ => "the token's rights do not reach that far",
    };
    rule.to_owned()
}

fn may_key(key: &str, policy: &str) -> String {
    format!("the token needs `key \"{key}\" {{ policy = \"{policy}\" }}`, or a key_prefix with it")
}

/// The ACL rule that a request to the agent itself needs.
fn denied_by_agent(path: &str) -> &'static str {
    let written = ["/v1/agent/service/register", "/v1/agent/service/deregister/", "/v1/agent/check/"];
    if written.iter().any(|prefix| path.starts_with(prefix)) {
        "the token needs `service \"NAME\" { policy = \"write\" }` for the service's name"
    } else if path.starts_with("/v1/agent/maintenance") {
        "the maintenance of a node takes `node \"NODE\" { policy = \"write\" }` for the agent's node"
    } else if path.starts_with("/v1/agent/service/maintenance/") {
        "the maintenance of a service takes `service \"NAME\" { policy = \"write\" }`"
    } else if path.starts_with("/v1/agent/service/") {
        "the token needs `service \"NAME\" { policy = \"read\" }` to see the service"
    } else if path.starts_with("/v1/agent/reload") {
        "to have the agent read its files again takes `agent \"NODE\" { policy = \"write\" }` for the agent's node"
    } else {
        "to ask the agent about itself, such as its node's name, the token needs agent:read: grant it, or name the \
         `node` where that is all that is missing"
    }
}
