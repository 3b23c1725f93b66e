//! A check of a service.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::duration::ConsulDuration;
use crate::object::{DEFAULT_CHECK, Refused, validate_name};

/// The shortest interval: Consul runs no check more often, whatever it is told.
const INTERVAL_MIN: ConsulDuration = ConsulDuration::from_secs(1);
/// The shortest time before a critical service is deregistered: Consul raises what is shorter.
const DEREGISTER_MIN: ConsulDuration = ConsulDuration::from_secs(60);

/// How a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum CheckState {
    /// All is well.
    Passing,
    /// Something is not.
    Warning,
    /// Nothing should be sent there.
    Critical,
}

/// A check of a service. What makes it one of its kind is the one of `http`, `tcp`, `grpc`, `ttl`, `args`, and
/// `alias_service` or `alias_node` that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Check {
    /// Its id on the node. The default is made of the service's id and the check's name, or its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A note for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Its status until it first runs; `critical` where it is absent. One that exists keeps the status that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<CheckState>,
    /// How often it runs: 1s at least. For every kind but ttl and alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<ConsulDuration>,
    /// How long one run may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<ConsulDuration>,
    /// A URL that has to answer with a status of 2xx; 429 is a warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// The method for `http`. The default is GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The headers for `http`: each a text, or a list of texts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "headers")]
    #[schemars(with = "BTreeMap<String, HeaderValue>")]
    pub header: BTreeMap<String, Vec<String>>,
    /// Whether `http` and `grpc` take any certificate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tls_skip_verify: bool,
    /// An `address:port` that has to accept a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// An `address:port/service` that speaks gRPC's health protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<String>,
    /// Whether `grpc` speaks TLS.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub grpc_use_tls: bool,
    /// How long it stays as somebody last reported it; then it is critical.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<ConsulDuration>,
    /// A command and its arguments. Agents run none unless `enable_script_checks` is set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The id of a service whose health it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias_service: Option<String>,
    /// The node of that service, or the node whose health it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias_node: Option<String>,
    /// How long it may be critical before its service is deregistered: 1m at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregister_critical_service_after: Option<ConsulDuration>,
}

/// A header's value.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "header: each value is a text, or a list of texts")]
#[schemars(inline)]
enum HeaderValue {
    One(String),
    Several(Vec<String>),
}

/// Headers whose values are lists, or single texts.
fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    let mut headers = BTreeMap::new();
    for (name, values) in BTreeMap::<String, HeaderValue>::deserialize(deserializer)? {
        let values = match values {
            HeaderValue::One(value) => vec![value],
            HeaderValue::Several(values) => values,
        };
        headers.insert(name, values);
    }
    Ok(headers)
}

/// Whether a check of this id is Consul's: the node's health, or a maintenance. One of ours would take its place.
fn is_consuls_own(id: &str) -> bool {
    id.eq_ignore_ascii_case(DEFAULT_CHECK) || id == "_node_maintenance" || id.starts_with("_service_maintenance:")
}

impl Check {
    /// The kinds that it has: there has to be one.
    fn kinds(&self) -> Vec<&'static str> {
        [
            ("http", self.http.is_some()),
            ("tcp", self.tcp.is_some()),
            ("grpc", self.grpc.is_some()),
            ("ttl", self.ttl.is_some()),
            ("args", !self.args.is_empty()),
            ("alias", self.alias_service.is_some() || self.alias_node.is_some()),
        ]
        .into_iter()
        .filter_map(|(kind, has)| has.then_some(kind))
        .collect()
    }

    /// Its kind: `http`, `tcp`, `grpc`, `ttl`, `args` or `alias`.
    pub fn kind(&self) -> Option<&'static str> {
        self.kinds().first().copied()
    }

    /// Checks everything that Consul refuses, and what it silently changes. Gives its kind.
    pub(super) fn validate(&self, position: usize) -> Result<&'static str, Refused> {
        let at = match self.id.as_ref().or(self.name.as_ref()) {
            Some(name) => format!("checks[{position}] ({name})"),
            None => format!("checks[{position}]"),
        };
        let refuse = |problem: String| Err(Refused::new(format!("{at}: {problem}")));
        for (option, value) in [("id", &self.id), ("name", &self.name)] {
            if let Some(value) = value {
                validate_name(&format!("{at}: {option}"), value)?;
            }
        }
        if let Some(id) = self.id.as_deref().filter(|id| is_consuls_own(id)) {
            return refuse(format!("the id {id:?} is that of a check of Consul's own: take another"));
        }
        const KINDS: &str = "one of http, tcp, grpc, ttl, args, and alias_service or alias_node";
        let kinds = self.kinds();
        let kind = match kinds.as_slice() {
            [kind] => *kind,
            [] => return refuse(format!("it checks nothing: give it {KINDS}")),
            several => return refuse(format!("it has several kinds ({}): give it {KINDS}", several.join(", "))),
        };
        let runs = !matches!(kind, "ttl" | "alias");
        match self.interval {
            None if runs => {
                return refuse(format!("a check of kind {kind} needs an interval: how often it runs, such as 10s"));
            }
            Some(interval) if runs && interval < INTERVAL_MIN => {
                return refuse(format!("interval is {interval}: Consul runs no check more often than every 1s"));
            }
            _ => {}
        }
        for (option, given, of) in [
            ("interval", self.interval.is_some(), &["http", "tcp", "grpc", "args"][..]),
            ("timeout", self.timeout.is_some(), &["http", "tcp", "grpc", "args"]),
            ("method", self.method.is_some(), &["http"]),
            ("header", !self.header.is_empty(), &["http"]),
            ("tls_skip_verify", self.tls_skip_verify, &["http", "grpc"]),
            ("grpc_use_tls", self.grpc_use_tls, &["grpc"]),
        ] {
            if given && !of.contains(&kind) {
                return refuse(format!("{option} means nothing to a check of kind {kind}: leave it out"));
            }
        }
        for (option, value) in [("timeout", self.timeout), ("ttl", self.ttl)] {
            if value.is_some_and(ConsulDuration::is_zero) {
                return refuse(format!("{option} is 0: write a time, such as 10s"));
            }
        }
        if let Some(after) = self.deregister_critical_service_after.filter(|after| *after < DEREGISTER_MIN) {
            return refuse(format!("deregister_critical_service_after is {after}: the shortest is 1m"));
        }
        match (&self.http, &self.tcp) {
            (Some(url), _) if !url.starts_with("http://") && !url.starts_with("https://") => {
                refuse(format!("http is {url:?}: write a URL that begins with http:// or https://"))
            }
            (_, Some(address)) if !address.contains(':') => {
                refuse(format!("tcp is {address:?}: write address:port, such as 127.0.0.1:5432"))
            }
            _ => Ok(kind),
        }
    }
}
