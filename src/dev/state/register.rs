//! What changes the catalog: registering and deregistering, and the indexes that move with it.

use super::catalog::{CRITICAL, Check, Node, PASSING, Registration, Service, key};
use super::{Fault, Identity, State, Table};

impl Identity {
    /// The node as it registers itself.
    pub(super) fn as_node(&self) -> Node {
        let Self { datacenter, node, node_id, address, .. } = self.clone();
        let addresses = ["lan", "lan_ipv4", "wan", "wan_ipv4"].map(|name| (name.to_owned(), address.clone()));
        Node {
            id: node_id,
            node,
            address,
            datacenter,
            tagged_addresses: Some(addresses.into()),
            meta: Some([("consul-network-segment".to_owned(), String::new())].into()),
            ..Node::default()
        }
    }
}

impl State {
    /// What is registered when the agent has started: itself, its service and its check.
    pub(super) fn register_itself(&mut self) {
        let synchronised = Registration { node: self.identity.as_node(), ..Registration::default() };
        let meta = [
            ("non_voter", "false"),
            ("raft_version", "3"),
            ("serf_protocol_current", "2"),
            ("serf_protocol_max", "5"),
            ("serf_protocol_min", "1"),
            ("version", "1.8.7"),
        ];
        let service = Service {
            id: "consul".to_owned(),
            name: "consul".to_owned(),
            meta: Some(meta.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
            port: self.identity.port.into(),
            ..Service::default()
        };
        let check = Check {
            id: "serfHealth".to_owned(),
            name: "Serf Health Status".to_owned(),
            status: PASSING.to_owned(),
            output: "Agent alive and reachable".to_owned(),
            ..Check::default()
        };
        // The leader registers it, then it tells more of itself.
        let node = Node { tagged_addresses: None, meta: None, ..synchronised.node.clone() };
        let leader = Registration { node, service: Some(service), checks: vec![check], skip_node: false };
        let _ = self.register(10, leader);
        let _ = self.register(12, synchronised);
        self.index = 12;
    }

    /// Is the node that was kept under its name: with its id, but where it is now.
    pub(super) fn adopt_itself(&mut self) {
        let own = self.identity.node.to_lowercase();
        if let Some(node) = self.catalog.nodes.get_mut(&own) {
            self.identity.node_id.clone_from(&node.id);
            let Node { address, tagged_addresses, .. } = self.identity.as_node();
            (node.address, node.tagged_addresses) = (address, tagged_addresses);
        }
        if let Some(service) = self.catalog.services.get_mut(&key(&own, "consul")) {
            service.port = self.identity.port.into();
        }
    }

    /// The index of the services of this name: of what they are, and with `checks` of how they are.
    pub fn service_index(&self, name: &str, checks: bool) -> u64 {
        let exists = !self.catalog.instances(name).is_empty();
        let gone = self.catalog.extinction.filter(|_| !exists);
        gone.or_else(|| self.catalog.named.get(&name.to_lowercase()).copied()).unwrap_or_else(|| {
            let all = [Table::Nodes, Table::Services, Table::Checks];
            self.tables.last(if checks { &all } else { &[Table::Nodes, Table::Services] })
        })
    }

    /// Whether the node itself would be changed.
    pub fn changes_node(&self, registration: &Registration) -> bool {
        self.would_change(&registration.node, registration.skip_node)
    }

    fn would_change(&self, node: &Node, skip: bool) -> bool {
        self.catalog.node(&node.node).is_none_or(|there| !skip && !is_same(there, node))
    }

    /// Registers a node, and what is on it; what is there already as it is to be is left alone.
    pub(super) fn register(&mut self, index: u64, registration: Registration) -> Result<(), Fault> {
        let Registration { node, skip_node, service, checks } = registration;
        let name = node.node.clone();
        if self.would_change(&node, skip_node) {
            self.put_node(index, node).map_err(|Fault(text)| Fault(format!("failed inserting node: {text}")))?;
        }
        if let Some(service) = service {
            self.put_service(index, &name, service)
                .map_err(|Fault(text)| Fault(format!("failed inserting service: {text}")))?;
        }
        for mut check in checks {
            if check.node.is_empty() {
                check.node.clone_from(&name);
            }
            if !check.node.eq_ignore_ascii_case(&name) {
                return Err(Fault(format!("check node {:?} does not match node {name:?}", check.node)));
            }
            self.put_check(index, check)
                .map_err(|Fault(text)| Fault(format!("failed inserting check: {text} on node {name:?}")))?;
        }
        Ok(())
    }

    /// [`register`](Self::register), as a write of its own: all of it, or nothing.
    pub fn register_now(&mut self, registration: Registration) -> Result<(), Fault> {
        let index = self.next_index();
        let before = (self.catalog.clone(), self.tables.clone());
        self.register(index, registration).inspect_err(|_| (self.catalog, self.tables) = before)
    }

    pub(super) fn put_node(&mut self, index: u64, mut node: Node) -> Result<(), Fault> {
        let mut there = None;
        if !node.id.is_empty() {
            let of_id = self.catalog.nodes().find(|other| other.id == node.id);
            there = of_id.cloned();
            let said = |taken: String| match of_id {
                Some(_) => Fault(format!("Error while renaming Node ID: {:?} ({}): {taken}", node.id, node.address)),
                None => Fault(format!("Error while renaming Node ID: {:?}: {taken}", node.id)),
            };
            match &there {
                Some(old) if old.node == node.node => {}
                old => {
                    self.name_is_free(&node, old.is_none()).map_err(said)?;
                    if let Some(old) = old.as_ref().map(|old| old.node.clone()) {
                        self.delete_node(index, &old);
                    }
                }
            }
        }
        let there = there.or_else(|| self.catalog.node(&node.node).cloned());
        if there.as_ref().is_some_and(|there| there.node == node.node && is_same(there, &node)) {
            return Ok(());
        }
        (node.create_index, node.modify_index) = (there.map_or(index, |there| there.create_index), index);
        let name = node.node.clone();
        self.catalog.nodes.insert(name.to_lowercase(), node);
        self.tables.touch(Table::Nodes, index);
        self.touch_services_of(index, &name);
        Ok(())
    }

    /// A name is another node's, where that one is alive.
    fn name_is_free(&self, node: &Node, without_id_yields: bool) -> Result<(), String> {
        let Some(other) = self.catalog.node(&node.node).filter(|other| other.id != node.id) else { return Ok(()) };
        let alive = self.catalog.check(&other.node, "serfHealth").is_some_and(|check| check.status != CRITICAL);
        if !alive || (without_id_yields && other.id.is_empty()) {
            return Ok(());
        }
        let Node { id, node: name, address, .. } = other;
        Err(format!("Node name {} is reserved by node {id} with name {name} ({address})", node.node))
    }

    pub(super) fn put_service(&mut self, index: u64, node: &str, mut service: Service) -> Result<(), Fault> {
        if service.id.is_empty() {
            return Err(Fault::new("failed inserting service: object missing primary index"));
        }
        let Some(on) = self.catalog.node(node) else { return Err(Fault::new("Missing node registration")) };
        service.node.clone_from(&on.node);
        let there = self.catalog.service(node, &service.id);
        (service.create_index, service.modify_index) =
            there.map_or((index, index), |there| (there.create_index, there.modify_index));
        if there == Some(&service) {
            return Ok(());
        }
        service.modify_index = index;
        self.touch_service(index, &service.name);
        self.tables.touch(Table::Services, index);
        self.catalog.services.insert(key(node, &service.id), service);
        Ok(())
    }

    pub(super) fn put_check(&mut self, index: u64, mut check: Check) -> Result<(), Fault> {
        if check.id.is_empty() {
            return Err(Fault::new("failed inserting check: object missing primary index"));
        }
        if check.status.is_empty() {
            CRITICAL.clone_into(&mut check.status);
        }
        let node = check.node.clone();
        if self.catalog.node(&node).is_none() {
            return Err(Fault::new("Missing node registration"));
        }
        if !check.service_id.is_empty() {
            let Some(service) = self.catalog.service(&node, &check.service_id) else {
                return Err(Fault::new("Missing service registration"));
            };
            check.service_name.clone_from(&service.name);
            check.service_tags.clone_from(&service.tags);
        }
        let there = self.catalog.check(&node, &check.id);
        (check.create_index, check.modify_index) =
            there.map_or((index, index), |there| (there.create_index, there.modify_index));
        let same = there == Some(&check);
        if !same {
            check.modify_index = index;
            match check.service_name.as_str() {
                "" => self.touch_services_of(index, &node),
                name => self.touch_service(index, name),
            }
        }
        if check.status == CRITICAL {
            self.end_sessions_of_check(index, &node, &check.id);
        }
        // Consul's own index of checks moves in any case.
        self.tables.touch(Table::Checks, index);
        self.catalog.checks.insert(key(&node, &check.id), check);
        Ok(())
    }

    fn end_sessions_of_check(&mut self, index: u64, node: &str, check: &str) {
        self.end_sessions(index, |session| {
            session.node.eq_ignore_ascii_case(node) && session.checks().any(|id| id.eq_ignore_ascii_case(check))
        });
    }

    fn touch_service(&mut self, index: u64, name: &str) {
        self.catalog.named.insert(name.to_lowercase(), index);
    }

    fn touch_services_of(&mut self, index: u64, node: &str) {
        let names: Vec<String> = self.catalog.services_of(node).map(|service| service.name.clone()).collect();
        for name in names {
            self.touch_service(index, &name);
        }
    }

    /// Removes a node, and all that hangs on it.
    pub(super) fn delete_node(&mut self, index: u64, name: &str) {
        let Some(node) = self.catalog.node(name).map(|node| node.node.clone()) else { return };
        let services: Vec<String> = self.catalog.services_of(&node).map(|service| service.id.clone()).collect();
        for id in services {
            self.delete_service(index, &node, &id);
        }
        let checks: Vec<String> = self.catalog.checks_of(&node).map(|check| check.id.clone()).collect();
        for id in checks {
            self.delete_check(index, &node, &id);
        }
        self.catalog.nodes.remove(&node.to_lowercase());
        self.tables.touch(Table::Nodes, index);
        self.end_sessions(index, |session| session.node.eq_ignore_ascii_case(&node));
    }

    /// Removes a service, and its checks.
    pub(super) fn delete_service(&mut self, index: u64, node: &str, id: &str) {
        let Some(service) = self.catalog.service(node, id).cloned() else { return };
        let own = self.catalog.checks_of(node).filter(|check| check.service_id.eq_ignore_ascii_case(id));
        let checks: Vec<String> = own.map(|check| check.id.clone()).collect();
        for check in checks {
            self.delete_check(index, node, &check);
        }
        self.tables.touch(Table::Checks, index);
        self.catalog.services.remove(&key(node, id));
        self.tables.touch(Table::Services, index);
        if self.catalog.instances(&service.name).is_empty() {
            self.catalog.named.remove(&service.name.to_lowercase());
            self.catalog.extinction = Some(index);
        } else {
            self.touch_service(index, &service.name);
        }
    }

    /// Removes a check; the sessions that depend on it end.
    pub(super) fn delete_check(&mut self, index: u64, node: &str, id: &str) {
        let Some(check) = self.catalog.checks.remove(&key(node, id)) else { return };
        if check.service_id.is_empty() {
            self.touch_services_of(index, node);
            self.tables.touch(Table::Services, index);
        } else {
            self.touch_service(index, &check.service_name);
        }
        self.tables.touch(Table::Checks, index);
        self.end_sessions_of_check(index, node, id);
    }

    /// Removes a service of a node, or a check of it, or else the node, as a write of its own.
    pub fn deregister_now(&mut self, node: &str, service: &str, check: &str) {
        let index = self.next_index();
        match (service, check) {
            ("", "") => self.delete_node(index, node),
            ("", check) => self.delete_check(index, node, check),
            (service, _) => self.delete_service(index, node, service),
        }
    }
}

/// Whether two are the same but for their indexes.
fn is_same(one: &Node, other: &Node) -> bool {
    let bare = |node: &Node| Node { create_index: 0, modify_index: 0, ..node.clone() };
    bare(one) == bare(other)
}
