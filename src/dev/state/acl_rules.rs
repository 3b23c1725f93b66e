//! Rules of ACL policies: their text, in HCL or JSON, and what they allow.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What rules are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dev) enum Resource {
    Key,
    Session,
    Node,
    Service,
    Agent,
    Event,
    Query,
    Acl,
    Operator,
    Keyring,
}

use Resource::{Acl, Agent, Event, Key, Keyring, Node, Operator, Query, Service, Session};

/// What may be done. In this order, the one that is further behind prevails where two policies name the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dev) enum Access {
    Read,
    List,
    Write,
    Deny,
}

/// The resources that have names, and what Go calls a rule of theirs and its name.
const NAMED: [(&str, Resource, &str, &str); 7] = [
    ("key", Key, "KeyRule", "Prefix"),
    ("session", Session, "SessionRule", "Node"),
    ("node", Node, "NodeRule", "Name"),
    ("service", Service, "ServiceRule", "Name"),
    ("agent", Agent, "AgentRule", "Node"),
    ("event", Event, "EventRule", "Event"),
    ("query", Query, "PreparedQueryRule", "Prefix"),
];

/// Those that have none.
const WHOLE: [(&str, Resource); 3] = [("acl", Acl), ("operator", Operator), ("keyring", Keyring)];

/// What is allowed and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::dev) struct Rules {
    exact: BTreeMap<(Resource, String), Access>,
    prefixes: BTreeMap<(Resource, String), Access>,
}

impl Rules {
    /// Reads rules. An unknown kind of rule is overlooked, as Consul does.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tree = match crate::json::read(text.as_bytes()) {
            Ok(Value::Object(tree)) => tree,
            _ => Hcl::parse(text).map_err(|fault| format!("Failed to parse ACL rules: {fault}"))?,
        };
        let mut rules = Self::default();
        for (kind, below) in &tree {
            if let Some((_, resource)) = WHOLE.iter().find(|(name, _)| name == kind) {
                let access = access(below.as_str().unwrap_or_default(), false);
                let access = access.ok_or_else(|| format!("Invalid {kind} policy: {below}"))?;
                rules.exact.insert((*resource, String::new()), access);
            }
            let bare = kind.strip_suffix("_prefix").unwrap_or(kind);
            let Some((_, resource, rule, field)) = NAMED.iter().find(|(name, ..)| *name == bare) else { continue };
            let to = if bare == kind { &mut rules.exact } else { &mut rules.prefixes };
            let named = objects(below).into_iter().flatten();
            for (name, attributes) in named.flat_map(|(name, all)| objects(all).into_iter().map(move |one| (name, one)))
            {
                let policy = attributes.get("policy").and_then(Value::as_str).unwrap_or_default();
                let access = access(policy, *resource == Key).ok_or_else(|| {
                    let enterprise = "EnterpriseRule:acl.EnterpriseRule{}";
                    format!("Invalid {kind} policy: &acl.{rule}{{{field}:{name:?}, Policy:{policy:?}, {enterprise}}}")
                })?;
                grant(to, (*resource, name.clone()), access);
            }
        }
        Ok(rules)
    }

    /// Adds other rules. Of two that name the same thing, a denial prevails, and else what allows more.
    pub fn merge(&mut self, other: &Self) {
        for (to, from) in [(&mut self.exact, &other.exact), (&mut self.prefixes, &other.prefixes)] {
            from.iter().for_each(|(what, access)| grant(to, what.clone(), *access));
        }
    }

    /// The rule for this: one that names it, or else the longest prefix.
    pub fn find(&self, resource: Resource, name: &str) -> Option<Access> {
        let named = self.exact.get(&(resource, name.to_owned())).copied();
        named.or_else(|| self.prefix(resource, name))
    }

    /// All rules for what begins with this.
    pub fn below<'a>(&'a self, resource: Resource, prefix: &'a str) -> impl Iterator<Item = Access> + 'a {
        let all = self.exact.iter().chain(&self.prefixes);
        all.filter(move |((of, name), _)| *of == resource && name.starts_with(prefix)).map(|(_, access)| *access)
    }

    /// The longest prefix rule for this.
    pub fn prefix(&self, resource: Resource, prefix: &str) -> Option<Access> {
        let of = self.prefixes.iter().filter(|((of, name), _)| *of == resource && prefix.starts_with(name.as_str()));
        of.max_by_key(|((_, name), _)| name.len()).map(|(_, access)| *access)
    }
}

/// Of two rules for the same thing, a denial prevails, and else what allows more.
fn grant(to: &mut BTreeMap<(Resource, String), Access>, what: (Resource, String), access: Access) {
    to.entry(what).and_modify(|there| *there = (*there).max(access)).or_insert(access);
}

/// An object, or several.
fn objects(value: &Value) -> Vec<&Map<String, Value>> {
    match value {
        Value::Object(map) => vec![map],
        Value::Array(all) => all.iter().flat_map(objects).collect(),
        _ => Vec::new(),
    }
}

fn access(text: &str, lists: bool) -> Option<Access> {
    match text {
        "read" => Some(Access::Read),
        "list" if lists => Some(Access::List),
        "write" => Some(Access::Write),
        "deny" => Some(Access::Deny),
        _ => None,
    }
}

/// As much of HCL as rules are written in: `name = "value"`, `name "label" { ... }`, and comments.
struct Hcl<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Hcl<'a> {
    fn parse(text: &'a str) -> Result<Map<String, Value>, String> {
        let mut hcl = Self { text, at: 0 };
        let tree = hcl.body(0)?;
        match hcl.peek() {
            None => Ok(tree),
            Some(c) => Err(hcl.fault(&format!("unexpected {c:?}"))),
        }
    }

    /// Names, each with what it is, up to a brace that nobody opened.
    fn body(&mut self, depth: usize) -> Result<Map<String, Value>, String> {
        const DEEPEST: usize = 8;
        let mut body = Map::new();
        loop {
            let name = match self.peek() {
                None | Some('}') => return Ok(body),
                Some(',') => {
                    self.at += 1;
                    continue;
                }
                Some('"') => self.string()?,
                Some(_) => self.word()?,
            };
            let label = if self.peek() == Some('"') { Some(self.string()?) } else { None };
            let value = match self.peek() {
                _ if depth > DEEPEST => return Err(self.fault("nested too deeply")),
                Some('{') => self.object(depth)?,
                Some('=' | ':') => {
                    self.at += 1;
                    self.value(depth)?
                }
                _ => return Err(self.fault("expected an assignment or an object")),
            };
            let Some(label) = label else {
                body.insert(name, value);
                continue;
            };
            // Rules of one kind stand one behind the other.
            if let Value::Object(labelled) = body.entry(name).or_insert_with(|| Map::new().into()) {
                match labelled.entry(label).or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(all) => all.push(value),
                    other => *other = value, // there is none: only arrays are put in
                }
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        match self.peek() {
            Some('"') => self.string().map(Value::String),
            Some('{') => self.object(depth),
            Some(_) => match self.word()?.as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                word => Err(self.fault(&format!("a value stands between quotes: {word}"))),
            },
            None => Err(self.fault("expected a value, got: EOF")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let body = self.body(depth + 1)?;
        if self.peek() != Some('}') {
            return Err(self.fault("object expected closing RBRACE got: EOF"));
        }
        self.at += 1;
        Ok(Value::Object(body))
    }

    fn word(&mut self) -> Result<String, String> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.fault("illegal character"));
        }
        self.at += end;
        Ok(rest.get(..end).unwrap_or_default().to_owned())
    }

    /// What is between quotes. A quote within has a backslash before it.
    fn string(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(text);
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, c)) => text.push(c),
                    None => {}
                },
                '\n' => break,
                c => text.push(c),
            }
        }
        Err(self.fault("literal not terminated"))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next character that means something.
    fn peek(&mut self) -> Option<char> {
        loop {
            let rest = self.rest();
            let bare = rest.trim_start();
            self.at += rest.len() - bare.len();
            let length = |end: &str, close: usize| bare.find(end).map_or(bare.len(), |at| at + close);
            if bare.starts_with('#') || bare.starts_with("//") {
                self.at += length("\n", 0);
            } else if bare.starts_with("/*") {
                self.at += length("*/", 2);
            } else {
                return bare.chars().next();
            }
        }
    }

    fn fault(&self, what: &str) -> String {
        let before = self.text.get(..self.at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let end = usize::from(self.rest().is_empty()); // which comes behind the last character
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1 + end;
        format!("At {line}:{column}: {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Rules {
        Rules::parse(text).expect("the rules are right")
    }

    #[test]
    fn hcl_and_json_say_the_same() {
        let hcl = rules(
            r#"
            # a comment
            key_prefix "a/" { policy = "write" } // another
            key "a/\"b" { policy = "deny" } /* and
            another */ service "s" { policy = "read" intentions = "read" }
            session_prefix "" { policy = "write" },
            operator = "read"
            "#,
        );
        let json = rules(
            r#"{"key_prefix": {"a/": {"policy": "write"}}, "key": {"a/\"b": {"policy": "deny"}},
                "service": {"s": {"policy": "read"}}, "session_prefix": {"": {"policy": "write"}}, "operator": "read"}"#,
        );
        assert_eq!(hcl, json);
        assert_eq!(hcl.find(Key, "a/x"), Some(Access::Write));
        assert_eq!(hcl.find(Key, "a/\"b"), Some(Access::Deny));
        assert_eq!(hcl.find(Key, "b"), None);
        assert_eq!(hcl.find(Session, "any"), Some(Access::Write));
        assert_eq!(hcl.find(Operator, ""), Some(Access::Read));
    }

    #[test]
    fn the_longest_prefix_counts_and_a_name_more_than_any() {
        let rules = rules(
            r#"key_prefix "" { policy = "read" } key_prefix "a/b" { policy = "deny" } key "a/bc" { policy = "write" }"#,
        );
        assert_eq!(rules.find(Key, "a/"), Some(Access::Read));
        assert_eq!(rules.find(Key, "a/bd"), Some(Access::Deny));
        assert_eq!(rules.find(Key, "a/bc"), Some(Access::Write));
    }

    #[test]
    fn of_two_policies_a_denial_prevails_and_else_what_allows_more() {
        let mut both = rules(r#"key "a" { policy = "write" } key "b" { policy = "read" }"#);
        both.merge(&rules(r#"key "a" { policy = "deny" } key "b" { policy = "write" }"#));
        assert_eq!((both.find(Key, "a"), both.find(Key, "b")), (Some(Access::Deny), Some(Access::Write)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let fault = |text: &str| Rules::parse(text).expect_err("the rules are wrong");
        let unclosed = "Failed to parse ACL rules: At 1:11: object expected closing RBRACE got: EOF";
        assert_eq!(fault("key \"x\" {"), unclosed);
        assert!(fault("key \"x").contains("At 1:5: literal not terminated"));
        assert!(fault("\n\nkey \"x\" ]").contains("At 3:9"), "{}", fault("\n\nkey \"x\" ]"));
        assert!(fault(&"a {".repeat(100_000)).contains("nested too deeply"));
        assert_eq!(
            fault(r#"key "x" { policy = "bogus" }"#),
            r#"Invalid key policy: &acl.KeyRule{Prefix:"x", Policy:"bogus", EnterpriseRule:acl.EnterpriseRule{}}"#
        );
        assert!(fault(r#"node "n" { policy = "list" }"#).starts_with("Invalid node policy"));
    }

    #[test]
    fn an_unknown_kind_of_rule_is_overlooked() {
        assert_eq!(rules(r#"foo "x" { policy = "read" }"#), Rules::default());
        assert_eq!(rules(""), Rules::default());
    }
}
