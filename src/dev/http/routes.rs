//! Which path and method is what.

use axum::http::StatusCode;

use super::call::Call;
use super::reply::{Answer, Refusal, Reply};
use super::{
    acl, agent, agent_check, agent_health, catalog, control, coordinate, event, health, kv, session, status, txn,
};
use crate::dev::agent::Agent;
use crate::dev::state::State;

/// Reads, and can be repeated until something has changed.
pub(super) type Read = fn(&State, &Call) -> Answer;

/// What a request does.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Read(Read),
    Write(fn(&mut State, &Call) -> Answer),
    /// Of the agent itself, beside what Consul has.
    Control(fn(&Agent, &Call) -> Answer),
}

/// A path, or where it ends in a slash all below it, and what its methods do.
pub(super) struct Route {
    path: &'static str,
    methods: &'static [(&'static str, Action)],
}

use Action::{Control, Read as Reads, Write as Writes};

static ROUTES: &[Route] = &[
    Route {
        path: "/v1/kv/",
        methods: &[("GET", Reads(kv::get)), ("PUT", Writes(kv::put)), ("DELETE", Writes(kv::delete))],
    },
    Route { path: "/v1/txn", methods: &[("PUT", Writes(txn::apply))] },
    Route { path: "/v1/session/create", methods: &[("PUT", Writes(session::create))] },
    Route { path: "/v1/session/destroy/", methods: &[("PUT", Writes(session::destroy))] },
    Route { path: "/v1/session/renew/", methods: &[("PUT", Writes(session::renew))] },
    Route { path: "/v1/session/info/", methods: &[("GET", Reads(session::info))] },
    Route { path: "/v1/session/node/", methods: &[("GET", Reads(session::of_node))] },
    Route { path: "/v1/session/list", methods: &[("GET", Reads(session::list))] },
    Route { path: "/v1/catalog/register", methods: &[("PUT", Writes(catalog::register))] },
    Route { path: "/v1/catalog/deregister", methods: &[("PUT", Writes(catalog::deregister))] },
    Route { path: "/v1/catalog/datacenters", methods: &[("GET", Reads(catalog::datacenters))] },
    Route { path: "/v1/catalog/nodes", methods: &[("GET", Reads(catalog::nodes))] },
    Route { path: "/v1/catalog/node/", methods: &[("GET", Reads(catalog::node))] },
    Route { path: "/v1/catalog/node-services/", methods: &[("GET", Reads(catalog::node_services))] },
    Route { path: "/v1/catalog/services", methods: &[("GET", Reads(catalog::services))] },
    Route { path: "/v1/catalog/service/", methods: &[("GET", Reads(catalog::service))] },
    Route { path: "/v1/health/node/", methods: &[("GET", Reads(health::of_node))] },
    Route { path: "/v1/health/checks/", methods: &[("GET", Reads(health::of_service))] },
    Route { path: "/v1/health/service/", methods: &[("GET", Reads(health::service))] },
    Route { path: "/v1/health/state/", methods: &[("GET", Reads(health::in_state))] },
    Route { path: "/v1/agent/self", methods: &[("GET", Reads(agent::myself))] },
    Route { path: "/v1/agent/members", methods: &[("GET", Reads(agent::members))] },
    Route { path: "/v1/agent/metrics", methods: &[("GET", Reads(agent::metrics))] },
    Route { path: "/v1/agent/token/", methods: &[("PUT", Writes(agent::set_token))] },
    Route { path: "/v1/agent/reload", methods: &[("PUT", Writes(agent::reload))] },
    Route { path: "/v1/agent/maintenance", methods: &[("PUT", Writes(agent::maintenance))] },
    Route { path: "/v1/agent/services", methods: &[("GET", Reads(agent::services))] },
    Route { path: "/v1/agent/service/", methods: &[("GET", Reads(agent::service))] },
    Route { path: "/v1/agent/service/register", methods: &[("PUT", Writes(agent::register))] },
    Route { path: "/v1/agent/service/deregister/", methods: &[("PUT", Writes(agent::deregister))] },
    Route { path: "/v1/agent/service/maintenance/", methods: &[("PUT", Writes(agent::service_maintenance))] },
    Route { path: "/v1/agent/health/service/id/", methods: &[("GET", Reads(agent_health::by_id))] },
    Route { path: "/v1/agent/health/service/name/", methods: &[("GET", Reads(agent_health::by_name))] },
    Route { path: "/v1/agent/checks", methods: &[("GET", Reads(agent_check::list))] },
    Route { path: "/v1/agent/check/register", methods: &[("PUT", Writes(agent_check::register))] },
    Route { path: "/v1/agent/check/deregister/", methods: &[("PUT", Writes(agent_check::deregister))] },
    Route { path: "/v1/agent/check/pass/", methods: &[("PUT", Writes(agent_check::pass))] },
    Route { path: "/v1/agent/check/warn/", methods: &[("PUT", Writes(agent_check::warn))] },
    Route { path: "/v1/agent/check/fail/", methods: &[("PUT", Writes(agent_check::fail))] },
    Route { path: "/v1/agent/check/update/", methods: &[("PUT", Writes(agent_check::update))] },
    Route { path: "/v1/acl/bootstrap", methods: &[("PUT", Writes(acl::bootstrap))] },
    Route { path: "/v1/acl/tokens", methods: &[("GET", Reads(acl::tokens))] },
    Route { path: "/v1/acl/token", methods: &[("PUT", Writes(acl::create_token))] },
    Route { path: "/v1/acl/token/self", methods: &[("GET", Reads(acl::own_token))] },
    Route {
        path: "/v1/acl/token/",
        methods: &[
            ("DELETE", Writes(acl::delete_token)),
            ("GET", Reads(acl::token)),
            ("PUT", Writes(acl::update_token)),
        ],
    },
    Route { path: "/v1/acl/policies", methods: &[("GET", Reads(acl::policies))] },
    Route { path: "/v1/acl/policy", methods: &[("PUT", Writes(acl::create_policy))] },
    Route { path: "/v1/acl/policy/name/", methods: &[("GET", Reads(acl::policy_named))] },
    Route {
        path: "/v1/acl/policy/",
        methods: &[
            ("DELETE", Writes(acl::delete_policy)),
            ("GET", Reads(acl::policy)),
            ("PUT", Writes(acl::update_policy)),
        ],
    },
    Route { path: "/v1/event/fire/", methods: &[("PUT", Writes(event::fire))] },
    Route { path: "/v1/event/list", methods: &[("GET", Reads(event::list))] },
    Route { path: "/v1/internal/acl/authorize", methods: &[("POST", Writes(acl::authorize))] },
    Route { path: "/v1/coordinate/node/", methods: &[("GET", Reads(coordinate::node))] },
    Route { path: "/v1/status/leader", methods: &[("GET", Reads(status::leader))] },
    Route { path: "/v1/status/peers", methods: &[("GET", Reads(status::peers))] },
    Route {
        path: "/v1/lictor/faults",
        methods: &[
            ("GET", Control(control::faults)),
            ("PUT", Control(control::set_faults)),
            ("DELETE", Control(control::no_faults)),
        ],
    },
    Route {
        path: "/v1/lictor/clock",
        methods: &[("GET", Control(control::clock)), ("PUT", Control(control::move_clock))],
    },
];

/// What Consul has and this agent does not.
const LEFT_OUT: &[&str] = &[
    "/v1/acl/auth-method",
    "/v1/acl/binding-rule",
    "/v1/acl/clone/",
    "/v1/acl/create",
    "/v1/acl/destroy/",
    "/v1/acl/info/",
    "/v1/acl/list",
    "/v1/acl/login",
    "/v1/acl/logout",
    "/v1/acl/replication",
    "/v1/acl/role",
    "/v1/acl/rules/",
    "/v1/acl/update",
    "/v1/agent/connect/",
    "/v1/agent/force-leave/",
    "/v1/agent/host",
    "/v1/agent/join/",
    "/v1/agent/leave",
    "/v1/agent/monitor",
    "/v1/catalog/connect/",
    "/v1/catalog/gateway-services/",
    "/v1/config",
    "/v1/connect/",
    "/v1/coordinate/datacenters",
    "/v1/coordinate/nodes",
    "/v1/coordinate/update",
    "/v1/discovery-chain/",
    "/v1/health/connect/",
    "/v1/health/ingress/",
    "/v1/internal/",
    "/v1/operator/",
    "/v1/query",
    "/v1/snapshot",
    "/ui/",
];

impl Route {
    /// The one that fits best.
    pub fn of(path: &str) -> Option<&'static Self> {
        let fits = |route: &&Self| path == route.path || (route.path.ends_with('/') && path.starts_with(route.path));
        ROUTES.iter().filter(fits).max_by_key(|route| route.path.len())
    }

    /// Whether there is a route of exactly this path.
    pub fn is_folder(path: &str) -> bool {
        ROUTES.iter().any(|route| route.path == path)
    }

    pub fn action(&self, method: &str) -> Option<Action> {
        self.methods.iter().find(|(name, _)| *name == method).map(|(_, action)| *action)
    }

    /// What the header `Allow` says.
    pub fn allow(&self) -> String {
        self.methods.iter().fold("OPTIONS".to_owned(), |all, (name, _)| all + "," + name)
    }
}

/// The answer to a path that nobody serves.
pub(super) fn unknown(path: &str) -> Answer {
    match LEFT_OUT.iter().find(|prefix| path.starts_with(*prefix)) {
        Some(_) => Err(Refusal::missing(path)),
        None => Ok(Reply::empty(StatusCode::NOT_FOUND)),
    }
}
