//! Between the wire's records and the noun: the only place that reads one as the other.

use crate::consul::{
    AgentService, CatalogCheck, CheckDefinition, HealthCheck, NodeService, ServiceDefinition, Weights as WireWeights,
};
use crate::duration::ConsulDuration;
use crate::object::{Check, CheckState, HASH_KEY, OWNER_KEY, ObservedService, Service, ServiceSpec, Weights};

impl From<NodeService> for AgentService {
    fn from(service: NodeService) -> Self {
        let NodeService { id, service, tags, address, port, meta, enable_tag_override, weights } = service;
        Self { id, service, tags, meta, port, address, enable_tag_override, weights }
    }
}

pub(in crate::reconcile) fn observed(service: &AgentService, checks: &[HealthCheck]) -> ObservedService {
    let mut meta = service.meta.clone();
    let (hash, owner) = (meta.remove(HASH_KEY), meta.remove(OWNER_KEY));
    ObservedService {
        service: Service {
            id: service.id.clone(),
            name: service.service.clone(),
            tags: service.tags.iter().cloned().collect(),
            address: service.address.clone(),
            port: service.port,
            meta,
            enable_tag_override: service.enable_tag_override,
            weights: Weights { passing: service.weights.passing, warning: service.weights.warning },
        },
        hash,
        owner,
        checks: checks.iter().map(|check| check.check_id.clone()).collect(),
    }
}

/// What to tell the agent. A check that is there already goes on with its status.
pub(super) fn definition(spec: &ServiceSpec, existing: &[HealthCheck], owner: Option<&str>) -> ServiceDefinition {
    let NodeService { id, service, tags, address, port, meta, enable_tag_override, weights } =
        node_service(spec, owner);
    ServiceDefinition {
        name: service,
        id: Some(id),
        address: Some(address).filter(|address| !address.is_empty()),
        port: Some(port).filter(|port| *port != 0),
        tags,
        meta,
        enable_tag_override,
        weights: Some(weights),
        checks: spec.checks().unwrap_or_default().iter().map(|check| check_definition(check, existing)).collect(),
    }
}

/// What to tell the catalog.
pub(super) fn node_service(spec: &ServiceSpec, owner: Option<&str>) -> NodeService {
    let service = spec.service().clone();
    let mut meta = service.meta;
    meta.insert(HASH_KEY.to_owned(), spec.hash().to_owned());
    meta.extend(owner.map(|owner| (OWNER_KEY.to_owned(), owner.to_owned())));
    NodeService {
        id: service.id,
        service: service.name,
        tags: service.tags.into_iter().collect(),
        address: service.address,
        port: service.port,
        meta,
        enable_tag_override: service.enable_tag_override,
        weights: WireWeights { passing: service.weights.passing, warning: service.weights.warning },
    }
}

/// The checks to tell the catalog, with what `consul-esm` needs to run them.
pub(super) fn catalog_checks(spec: &ServiceSpec, node: &str, existing: &[HealthCheck]) -> Vec<CatalogCheck> {
    let check = |check: &Check| {
        let definition = check_definition(check, existing);
        CatalogCheck {
            node: node.to_owned(),
            check_id: definition.check_id.clone().unwrap_or_default(),
            name: check.name.clone().unwrap_or_else(|| format!("Service '{}' check", spec.service().name)),
            status: definition.status.clone().unwrap_or_else(|| "critical".to_owned()),
            service_id: spec.service().id.clone(),
            notes: check.notes.clone().unwrap_or_default(),
            definition: Some(CheckDefinition { check_id: None, name: None, notes: None, status: None, ..definition }),
        }
    };
    spec.checks().unwrap_or_default().iter().map(check).collect()
}

fn check_definition(check: &Check, existing: &[HealthCheck]) -> CheckDefinition {
    let text = |duration: Option<ConsulDuration>| duration.map(|duration| duration.to_string());
    let now = existing.iter().find(|now| Some(&now.check_id) == check.id.as_ref()).map(|now| now.status.clone());
    let initial = check.status.map(|status| match status {
        CheckState::Passing => "passing".to_owned(),
        CheckState::Warning => "warning".to_owned(),
        CheckState::Critical => "critical".to_owned(),
    });
    CheckDefinition {
        check_id: check.id.clone(),
        name: check.name.clone(),
        notes: check.notes.clone(),
        status: now.or(initial),
        interval: text(check.interval),
        timeout: text(check.timeout),
        http: check.http.clone(),
        method: check.method.clone(),
        header: check.header.clone(),
        tls_skip_verify: check.tls_skip_verify,
        tcp: check.tcp.clone(),
        grpc: check.grpc.clone(),
        grpc_use_tls: check.grpc_use_tls,
        ttl: text(check.ttl),
        args: check.args.clone(),
        alias_service: check.alias_service.clone(),
        alias_node: check.alias_node.clone(),
        deregister_critical_service_after: text(check.deregister_critical_service_after),
    }
}

/// Consul's word for a check's kind.
pub(super) fn kind_on_the_wire(kind: &str) -> &str {
    if kind == "args" { "script" } else { kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_is_there_goes_on_with_its_status_and_a_new_one_begins_with_its_own() {
        // Consul 1.8 carries the status over by itself; that others do is not known.
        let service = Service { id: "web".to_owned(), name: "web".to_owned(), ..Service::default() };
        let check = |name: &str| Check {
            name: Some(name.to_owned()),
            ttl: Some(ConsulDuration::from_secs(30)),
            status: Some(CheckState::Warning),
            ..Check::default()
        };
        let spec = ServiceSpec::new(service, Some(vec![check("old"), check("new")])).unwrap();
        let there = HealthCheck {
            check_id: "service:web:old".to_owned(),
            status: "passing".to_owned(),
            ..HealthCheck::default()
        };
        let statuses = |existing: &[HealthCheck]| {
            definition(&spec, existing, None).checks.into_iter().filter_map(|check| check.status).collect::<Vec<_>>()
        };
        assert_eq!(statuses(std::slice::from_ref(&there)), ["passing", "warning"]);
        assert_eq!(statuses(&[]), ["warning", "warning"]);
        let in_catalog = catalog_checks(&spec, "node", &[there]).into_iter().map(|check| check.status);
        assert_eq!(in_catalog.collect::<Vec<_>>(), ["passing", "warning"]);
    }
}
