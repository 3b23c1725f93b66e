//! Operations of a transaction on nodes, services and checks.

use super::catalog::node_id_fault;
use super::{Check, Fault, Node, Service, State, TxnResult};

/// What an operation is about.
#[derive(Clone, Debug)]
pub(in crate::dev) enum CatalogItem {
    Node(Node),
    Service(Service),
    Check(Check),
}

/// An operation on something in the catalog.
#[derive(Clone, Debug)]
pub(in crate::dev) struct CatalogOperation {
    pub verb: String,
    pub item: CatalogItem,
}

impl CatalogItem {
    /// What kind of a thing it is, as Consul names it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Node(_) => "Node",
            Self::Service(_) => "Service",
            Self::Check(_) => "Check",
        }
    }

    /// Which one it is, in Consul's words.
    fn name(&self) -> String {
        match self {
            Self::Node(Node { node, .. }) => format!("node {node:?}"),
            Self::Service(Service { node, id, .. }) => format!("service {id:?} on node {node:?}"),
            Self::Check(Check { node, id, .. }) => format!("check {id:?} on node {node:?}"),
        }
    }

    /// The index that it is to have had.
    fn expected(&self) -> u64 {
        match self {
            Self::Node(node) => node.modify_index,
            Self::Service(service) => service.modify_index,
            Self::Check(check) => check.modify_index,
        }
    }
}

impl CatalogOperation {
    /// Whether it may change anything.
    pub fn writes(&self) -> bool {
        self.verb != "get"
    }

    /// What is looked at before anything is done.
    pub(super) fn check(&self) -> Result<(), Fault> {
        match &self.item {
            _ if !self.writes() => Ok(()),
            CatalogItem::Node(node) if node.node.is_empty() => Err(Fault::new("Must provide node")),
            CatalogItem::Node(node) => node_id_fault(&node.id).map_or(Ok(()), |text| Err(Fault(text))),
            CatalogItem::Service(service) if service.name.is_empty() && !service.id.is_empty() => {
                Err(Fault::new("Must provide service name with ID"))
            }
            _ => Ok(()),
        }
    }
}

impl State {
    pub(super) fn operate_catalog(
        &mut self,
        index: u64,
        operation: &CatalogOperation,
    ) -> Result<Vec<TxnResult>, Fault> {
        let CatalogOperation { verb, item } = operation;
        let there = self.find_item(item);
        let fresh = there.as_ref().map_or(0, CatalogItem::expected) == item.expected();
        let stale = |what: &str| Err(Fault(format!("failed to {what} {}, index is stale", item.name())));
        match verb.as_str() {
            "get" => {
                let found = there.ok_or_else(|| Fault(format!("{} doesn't exist", item.name())))?;
                return Ok(vec![found.into()]);
            }
            "cas" if !fresh => return stale("set"),
            "set" | "cas" => self.put_item(index, item.clone())?,
            "delete-cas" if there.is_none() || !fresh => return stale("delete"),
            "delete" | "delete-cas" => {
                self.delete_item(index, item);
                return Ok(Vec::new());
            }
            verb => return Err(Fault(format!("unknown {} verb {verb:?}", item.kind()))),
        }
        Ok(self.find_item(item).map(TxnResult::from).into_iter().collect())
    }

    fn find_item(&self, item: &CatalogItem) -> Option<CatalogItem> {
        Some(match item {
            CatalogItem::Node(node) => CatalogItem::Node(self.catalog.node(&node.node)?.clone()),
            CatalogItem::Service(service) => {
                CatalogItem::Service(self.catalog.service(&service.node, &service.id)?.clone())
            }
            CatalogItem::Check(check) => CatalogItem::Check(self.catalog.check(&check.node, &check.id)?.clone()),
        })
    }

    fn put_item(&mut self, index: u64, item: CatalogItem) -> Result<(), Fault> {
        match item {
            CatalogItem::Node(node) => self.put_node(index, node),
            CatalogItem::Service(service) => {
                let node = service.node.clone();
                self.put_service(index, &node, service)
            }
            CatalogItem::Check(check) => self.put_check(index, check),
        }
    }

    fn delete_item(&mut self, index: u64, item: &CatalogItem) {
        match item {
            CatalogItem::Node(node) => self.delete_node(index, &node.node),
            CatalogItem::Service(service) => self.delete_service(index, &service.node, &service.id),
            CatalogItem::Check(check) => self.delete_check(index, &check.node, &check.id),
        }
    }
}

impl From<CatalogItem> for TxnResult {
    fn from(item: CatalogItem) -> Self {
        match item {
            CatalogItem::Node(node) => Self::Node(node),
            CatalogItem::Service(service) => Self::Service(service),
            CatalogItem::Check(check) => Self::Check(check),
        }
    }
}
