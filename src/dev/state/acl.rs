//! ACL policies and tokens, and what a token may do.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::acl_rules::{Access, Resource, Rules};
use super::by_id::ById;
use super::{Fault, State, Table, check_uuid, uuid};

/// The policy that allows everything.
const MANAGEMENT: &str = "00000000-0000-0000-0000-000000000001";
/// The token of those who name none: its accessor, and its secret.
const ANONYMOUS: (&str, &str) = ("00000000-0000-0000-0000-000000000002", "anonymous");
/// Ids that begin so are Consul's own.
const RESERVED: &str = "00000000-0000-0000-0000-0000000000";

const MANAGEMENT_RULES: &str = "\nacl = \"write\"\nagent_prefix \"\" {\n\tpolicy = \"write\"\n}\nevent_prefix \"\" \
                                {\n\tpolicy = \"write\"\n}\nkey_prefix \"\" {\n\tpolicy = \"write\"\n}\nkeyring = \
                                \"write\"\nnode_prefix \"\" {\n\tpolicy = \"write\"\n}\noperator = \
                                \"write\"\nquery_prefix \"\" {\n\tpolicy = \"write\"\n}\nservice_prefix \"\" \
                                {\n\tpolicy = \"write\"\n\tintentions = \"write\"\n}\nsession_prefix \"\" {\n\tpolicy \
                                = \"write\"\n}";

/// A policy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::dev) struct Policy {
    pub id: String,
    pub name: String,
    pub description: String,
    pub rules: String,
    pub datacenters: Vec<String>,
    pub create_index: u64,
    pub modify_index: u64,
    #[serde(skip)]
    pub parsed: Rules,
}

/// A token. Its policies are named by their ids.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::dev) struct Token {
    pub accessor: String,
    pub secret: String,
    pub description: String,
    pub policies: Vec<String>,
    pub local: bool,
    /// When it was created, as it is told.
    pub created: String,
    pub create_index: u64,
    pub modify_index: u64,
}

/// A policy as a token names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::dev) struct PolicyLink {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Name")]
    pub name: String,
}

/// What may be done by whom.
#[derive(Clone, Debug, Default)]
pub(in crate::dev) struct Acls {
    /// Whether what no rule is about is allowed; `None`: everything is, and there are no ACLs.
    default: Option<bool>,
    /// Where this is: a policy may be for some datacenters alone.
    datacenter: String,
    policies: ById<String, Policy>,
    /// By their secrets.
    tokens: ById<String, Token>,
    /// When the first management token was created.
    bootstrapped: Option<u64>,
}

/// What is kept of the ACLs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::dev) struct KeptAcls {
    policies: Vec<Policy>,
    tokens: Vec<Token>,
    bootstrapped: Option<u64>,
}

/// What a request may do.
#[derive(Clone, Debug)]
pub(in crate::dev) struct Rights {
    /// There are no ACLs.
    pub unlimited: bool,
    rules: Rules,
    default: bool,
}

impl Rights {
    /// Those of everybody where there are no ACLs.
    pub fn all() -> Self {
        Self { unlimited: true, rules: Rules::default(), default: true }
    }

    pub fn may(&self, access: Access, resource: Resource, name: &str) -> bool {
        if self.unlimited {
            return true;
        }
        match self.rules.find(resource, name) {
            None => self.default && resource != Resource::Acl,
            Some(granted) => grants(granted, access),
        }
    }

    pub fn read(&self, resource: Resource, name: &str) -> bool {
        self.may(Access::Read, resource, name)
    }

    pub fn write(&self, resource: Resource, name: &str) -> bool {
        self.may(Access::Write, resource, name)
    }

    /// Whether all keys below this may be written, those that are not there, too.
    pub fn write_below(&self, prefix: &str) -> bool {
        let all = self.rules.prefix(Resource::Key, prefix).map_or(self.default, |granted| granted == Access::Write);
        self.unlimited || (all && self.rules.below(Resource::Key, prefix).all(|granted| granted == Access::Write))
    }
}

fn grants(granted: Access, wanted: Access) -> bool {
    granted != Access::Deny && granted >= wanted
}

impl Acls {
    pub(super) fn keep(&self) -> KeptAcls {
        KeptAcls {
            policies: self.policies.all().cloned().collect(),
            tokens: self.tokens.all().cloned().collect(),
            bootstrapped: self.bootstrapped,
        }
    }

    /// Takes up what was kept. The options of this start count more.
    pub(super) fn restore(&mut self, kept: KeptAcls) -> Result<(), Fault> {
        for policy in kept.policies {
            let parsed = Rules::parse(&policy.rules).map_err(Fault)?;
            self.policies.insert(policy.id.clone(), Policy { parsed, ..policy });
        }
        for token in kept.tokens {
            self.tokens.insert(token.secret.clone(), token);
        }
        self.bootstrapped = self.bootstrapped.or(kept.bootstrapped);
        Ok(())
    }

    /// Whether there are any.
    pub fn enabled(&self) -> bool {
        self.default.is_some()
    }

    /// Whether what no rule is about is allowed.
    pub fn allows(&self) -> bool {
        self.default.unwrap_or(true)
    }

    /// What a token may do; without one, what anybody may.
    pub fn rights(&self, secret: Option<&str>) -> Result<Arc<Rights>, Fault> {
        let Some(default) = self.default else { return Ok(Arc::new(Rights::all())) };
        let token = self.token(secret.unwrap_or(ANONYMOUS.1)).ok_or_else(|| Fault::new("ACL not found"))?;
        let mut rules = Rules::default();
        for policy in token.policies.iter().filter_map(|id| self.policies.get(id)) {
            if policy.datacenters.is_empty() || policy.datacenters.contains(&self.datacenter) {
                rules.merge(&policy.parsed);
            }
        }
        Ok(Arc::new(Rights { unlimited: false, rules, default }))
    }

    pub fn token(&self, secret: &str) -> Option<&Token> {
        self.tokens.get(secret)
    }

    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.all()
    }

    pub fn token_of(&self, accessor: &str) -> Option<&Token> {
        self.tokens().find(|token| token.accessor.eq_ignore_ascii_case(accessor))
    }

    pub fn policy(&self, id: &str) -> Option<&Policy> {
        self.policies.get(&id.to_lowercase())
    }

    pub fn policy_named(&self, name: &str) -> Option<&Policy> {
        self.policies.all().find(|policy| policy.name.eq_ignore_ascii_case(name))
    }

    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.all()
    }

    /// A token's policies, those that are still there.
    pub fn links(&self, token: &Token) -> Vec<PolicyLink> {
        let policies = token.policies.iter().filter_map(|id| self.policies.get(id));
        policies.map(|policy| PolicyLink { id: policy.id.clone(), name: policy.name.clone() }).collect()
    }

    /// The ids of policies that somebody names by id or by name.
    fn resolve(&self, links: &[PolicyLink]) -> Result<Vec<String>, Fault> {
        let mut ids: Vec<String> = Vec::new();
        for PolicyLink { id, name } in links {
            let found = if id.is_empty() { self.policy_named(name) } else { self.policy(id) };
            let found = found.ok_or_else(|| match id.as_str() {
                "" => Fault(format!("No such ACL policy with name {name:?}")),
                id => Fault(format!("No such ACL policy with ID {id:?}")),
            })?;
            if !ids.contains(&found.id) {
                ids.push(found.id.clone());
            }
        }
        Ok(ids)
    }
}

/// A digest of what something says, which changes with it.
pub(in crate::dev) fn digest(parts: &[&str]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, parts.join("\0").as_bytes());
    BASE64.encode(digest)
}

impl State {
    /// Begins to ask who may do what. Where a management token is given, that one may do everything.
    pub fn enable_acls(&mut self, default: bool, management: Option<&str>, created: &str) {
        let index = self.next_index();
        let parsed = Rules::parse(MANAGEMENT_RULES).unwrap_or_default();
        let policy = Policy {
            id: MANAGEMENT.to_owned(),
            name: "global-management".to_owned(),
            description: "Builtin Policy that grants unlimited access".to_owned(),
            rules: MANAGEMENT_RULES.to_owned(),
            create_index: index,
            modify_index: index,
            parsed,
            ..Policy::default()
        };
        self.acls.default = Some(default);
        self.acls.datacenter.clone_from(&self.identity.datacenter);
        self.acls.policies.insert(policy.id.clone(), policy);
        self.tables.touch(Table::Policies, index);
        if let Some(secret) = management {
            let token = Token {
                secret: secret.to_owned(),
                description: "Master Token".to_owned(),
                policies: vec![MANAGEMENT.to_owned()],
                created: created.to_owned(),
                ..Token::default()
            };
            self.acls.bootstrapped = Some(self.insert_token(token).modify_index);
        }
        self.insert_token(Token {
            accessor: ANONYMOUS.0.to_owned(),
            secret: ANONYMOUS.1.to_owned(),
            description: "Anonymous Token".to_owned(),
            created: created.to_owned(),
            ..Token::default()
        });
    }

    /// The first management token, where there was none.
    pub fn bootstrap(&mut self, created: &str) -> Result<Token, Fault> {
        if let Some(index) = self.acls.bootstrapped {
            let no = format!("Permission denied: ACL bootstrap no longer allowed (reset index: {index})");
            return Err(Fault(no));
        }
        let token = self.insert_token(Token {
            description: "Bootstrap Token (Global Management)".to_owned(),
            policies: vec![MANAGEMENT.to_owned()],
            created: created.to_owned(),
            ..Token::default()
        });
        self.acls.bootstrapped = Some(token.modify_index);
        Ok(token)
    }

    /// Creates a policy, or changes the one with this id.
    pub fn set_policy(&mut self, id: Option<&str>, policy: Policy) -> Result<Policy, Fault> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let name = policy.name.clone();
        if name.is_empty() {
            return Err(Fault::new("Invalid Policy: no Name is set"));
        }
        if !name.chars().all(fits) || name.len() > 128 {
            return Err(Fault::new(
                "Invalid Policy: invalid Name. Only alphanumeric characters, '-' and '_' are allowed",
            ));
        }
        let there = match id {
            None => None,
            Some(id) => Some(self.acls.policy(id).ok_or_else(|| Fault(format!("cannot find policy {id}")))?),
        };
        if let Some(other) = self.acls.policy_named(&name)
            && there.is_none_or(|there| there.id != other.id)
        {
            let what = if there.is_some() { "policy with name" } else { "Policy with Name" };
            return Err(Fault(format!("Invalid Policy: A {what} {name:?} already exists")));
        }
        if there.is_some_and(|there| there.id == MANAGEMENT && there.rules != policy.rules) {
            let no = "Changing the Rules for the builtin global-management policy is not permitted";
            return Err(Fault::new(no));
        }
        let parsed = Rules::parse(&policy.rules).map_err(Fault)?;
        let (id, create_index) = there.map_or((uuid(), None), |there| (there.id.clone(), Some(there.create_index)));
        let index = self.next_index();
        let create_index = create_index.unwrap_or(index);
        let policy = Policy { id, create_index, modify_index: index, parsed, ..policy };
        self.acls.policies.insert(policy.id.clone(), policy.clone());
        self.tables.touch(Table::Policies, index);
        Ok(policy)
    }

    pub fn delete_policy(&mut self, id: &str) -> Result<(), Fault> {
        if id == MANAGEMENT {
            return Err(Fault::new("Delete operation not permitted on the builtin global-management policy"));
        }
        if self.acls.policies.remove(&id.to_lowercase()).is_some() {
            let index = self.next_index();
            self.tables.touch(Table::Policies, index);
        }
        Ok(())
    }

    /// Creates a token. Its ids may be chosen.
    pub fn create_token(&mut self, token: Token, links: &[PolicyLink]) -> Result<Token, Fault> {
        if !token.accessor.is_empty() {
            check_uuid(&token.accessor).map_err(|Fault(text)| {
                Fault(format!("Failed acl token lookup by accessor: failed acl token lookup: {text}"))
            })?;
        }
        if self.acls.token_of(&token.accessor).is_some() {
            return Err(Fault::new("Invalid Token: AccessorID is already in use"));
        }
        if !token.secret.is_empty() && check_uuid(&token.secret).is_err() {
            return Err(Fault::new("Invalid Token: SecretID is not a valid UUID"));
        }
        if self.acls.token(&token.secret).is_some() {
            return Err(Fault::new("Invalid Token: SecretID is already in use"));
        }
        if [&token.accessor, &token.secret].iter().any(|id| id.starts_with(RESERVED)) {
            return Err(Fault(format!("Invalid Token: UUIDs with the prefix {RESERVED:?} are reserved")));
        }
        let policies = self.acls.resolve(links)?;
        Ok(self.insert_token(Token { policies, ..token }))
    }

    /// Changes the token of this accessor: its description and its policies.
    pub fn update_token(&mut self, accessor: &str, token: &Token, links: &[PolicyLink]) -> Result<Token, Fault> {
        let missing = || Fault(format!("Cannot find token {accessor:?}"));
        let there = self.acls.token_of(accessor).ok_or_else(missing)?.clone();
        if !token.secret.is_empty() && token.secret != there.secret {
            return Err(Fault::new("Changing a tokens SecretID is not permitted"));
        }
        let policies = self.acls.resolve(links)?;
        let index = self.next_index();
        let changed = Token { description: token.description.clone(), policies, modify_index: index, ..there };
        self.acls.tokens.insert(changed.secret.clone(), changed.clone());
        self.tables.touch(Table::Tokens, index);
        Ok(changed)
    }

    /// Deletes the token of this accessor, unless it is the one that asks.
    pub fn delete_token(&mut self, accessor: &str, asking: Option<&str>) -> Result<(), Fault> {
        if check_uuid(accessor).is_err() {
            return Err(Fault::new("Accessor ID is missing or an invalid UUID"));
        }
        if accessor == ANONYMOUS.0 {
            return Err(Fault::new("Delete operation not permitted on the anonymous token"));
        }
        let Some(secret) = self.acls.token_of(accessor).map(|token| token.secret.clone()) else { return Ok(()) };
        if asking == Some(&secret) {
            return Err(Fault::new("Deletion of the request's authorization token is not permitted"));
        }
        self.acls.tokens.remove(&secret);
        let index = self.next_index();
        self.tables.touch(Table::Tokens, index);
        Ok(())
    }

    fn insert_token(&mut self, mut token: Token) -> Token {
        for id in [&mut token.accessor, &mut token.secret] {
            if id.is_empty() {
                *id = uuid();
            }
        }
        let index = self.next_index();
        (token.create_index, token.modify_index) = (index, index);
        self.acls.tokens.insert(token.secret.clone(), token.clone());
        self.tables.touch(Table::Tokens, index);
        token
    }
}
