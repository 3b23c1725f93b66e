//! The same requests, at random, to a real agent and to `lictor dev`: what they answer has to agree.
//!
//! `LICTOR_SEED` gives other requests than those of every day, `LICTOR_STEPS` more of them.

mod support;

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;
use serde_json::{Value, json};
use support::target::{Kind, Reply, Target, alone};

#[test]
fn lictor_dev_answers_as_a_real_agent_does() {
    Run::new(Kind::Real, Kind::Dev).steps(number("LICTOR_STEPS", 4000));
}

/// That the comparison itself holds.
#[test]
fn a_real_agent_answers_as_another_does() {
    Run::new(Kind::Real, Kind::Real).steps(number("LICTOR_STEPS", 600));
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

const KEYS: &[&str] = &["a", "b", "dir/", "dir/a", "dir/b", "dir/sub/a", "dir/sub/b", "dirt", "lock", "lock/x"];
const NODES: &[&str] = &["n1", "n2", "n3"];
const SERVICES: &[&str] = &["web", "db", "web2"];
const CHECKS: &[&str] = &["c1", "c2"];
const STATUSES: &[&str] = &["passing", "warning", "critical"];
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// One request. `<s3>` stands for the id of the fourth session, `<i3>` for the fourth index that both told of.
#[derive(Clone, Debug)]
struct Step {
    method: &'static str,
    path: String,
    body: String,
}

fn step(method: &'static str, path: impl Into<String>, body: impl Into<String>) -> Step {
    Step { method, path: path.into(), body: body.into() }
}

fn get(path: impl Into<String>) -> Step {
    step("GET", path, "")
}

fn put(path: impl Into<String>, body: &Value) -> Step {
    step("PUT", path, if let Value::String(text) = body { text.clone() } else { body.to_string() })
}

/// What is known of two agents that were asked the same.
struct Run {
    agents: [Target; 2],
    seed: u64,
    random: Rng,
    number: u64,
    /// The ids of sessions, of both, as they were made.
    sessions: Vec<[String; 2]>,
    /// The number of each id that was told, in the order in which they came.
    ids: [HashMap<String, usize>; 2],
    /// Indexes that stood in the same place: the same order on both, and the same ones equal.
    indexes: BTreeMap<u64, u64>,
    told: Vec<[u64; 2]>,
    /// The indexes before the first step: what is older is the agents' own.
    begin: [u64; 2],
    /// The index with which each key was last read.
    keys: HashMap<String, usize>,
    /// The index of the answer to each read, when it was last made.
    reads: HashMap<String, [u64; 2]>,
}

impl Run {
    fn new(one: Kind, other: Kind) -> Self {
        let seed = number("LICTOR_SEED", 6);
        let agents = [alone(one), alone(other)];
        let begin = [0, 1].map(|side: usize| {
            // Until the agent has told the catalog of its node.
            let mut node = agents[side].get("catalog/node/node1");
            while node.ok()["Node"]["Meta"].is_null() {
                node = agents[side].get(&format!("catalog/node/node1?index={}&wait=20s", node.index()));
            }
            agents[side].put("kv/begin", "x").is(200, "true");
            agents[side].get("kv/begin").index()
        });
        Self {
            agents,
            seed,
            random: Rng::with_seed(seed),
            number: 0,
            sessions: Vec::new(),
            ids: Default::default(),
            indexes: BTreeMap::from([(begin[0], begin[1])]),
            told: vec![begin],
            begin,
            keys: HashMap::new(),
            reads: HashMap::new(),
        }
    }

    fn steps(mut self, count: u64) {
        while self.number < count {
            for step in self.next() {
                self.number += 1;
                self.make(&step);
            }
        }
    }

    /// Makes a step on both, and compares the answers.
    fn make(&mut self, step: &Step) {
        let replies = [0, 1].map(|side| {
            let (path, body) = (self.filled(&step.path, side), self.filled(&step.body, side));
            self.agents[side].send(step.method, &path, &[], body.as_bytes())
        });
        if let Err(why) = self.compare(step, &replies) {
            let shown = [0, 1].map(|side| {
                let reply = &replies[side];
                let index = reply.header("x-consul-index").unwrap_or("none");
                let (path, body) = (self.filled(&step.path, side), self.filled(&step.body, side));
                format!(
                    "{} /v1/{path} {body}\n  {}, index {index}\n  {}",
                    step.method,
                    reply.status,
                    reply.text().trim()
                )
            });
            panic!("step {} of LICTOR_SEED={}: {why}\nreal: {}\nother: {}", self.number, self.seed, shown[0], shown[1]);
        }
        if step.path.starts_with("agent/") && step.method == "PUT" {
            for agent in &self.agents {
                settle(agent);
            }
        }
    }

    /// A text with its session ids and indexes, as one of the two knows them.
    fn filled(&self, text: &str, side: usize) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('<') {
            let (name, behind) = behind.split_once('>').expect("a placeholder");
            let number: usize = name[1..].parse().expect("its number");
            filled.push_str(before);
            if name.starts_with('s') {
                filled.push_str(&self.sessions[number][side]);
            } else {
                filled.push_str(&self.told[number][side].to_string());
            }
            rest = behind;
        }
        filled + rest
    }

    fn compare(&mut self, step: &Step, replies: &[Reply; 2]) -> Result<(), String> {
        same("the status", &replies[0].status, &replies[1].status)?;
        for header in ["content-type", "allow", "location", "x-consul-reason"] {
            same(header, &replies[0].header(header), &replies[1].header(header))?;
        }
        let created = step.path.starts_with("session/create") && replies[0].status == 200;
        if created {
            self.sessions.push([0, 1].map(|side| replies[side].json()["ID"].as_str().expect("an id").to_owned()));
        }
        let texts = [0, 1].map(|side| self.with_numbered_ids(&replies[side].text(), side));
        match [0, 1].map(|side| serde_json::from_str::<Value>(&texts[side])) {
            [Ok(one), Ok(other)] => self.same_json("", &sorted(one), &sorted(other))?,
            _ => same("the text", &masked(&texts[0]), &masked(&texts[1]))?,
        }
        self.same_movement(step, replies)
    }

    /// The text with a number for each id, in the order in which they came.
    fn with_numbered_ids(&mut self, text: &str, side: usize) -> String {
        let is_id = |text: &str| {
            text.len() == 36
                && text.bytes().enumerate().all(|(at, byte)| match at {
                    8 | 13 | 18 | 23 => byte == b'-',
                    _ => byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase(),
                })
        };
        let mut numbered = String::new();
        let mut at = 0;
        while at < text.len() {
            if let Some(id) = text.get(at..at + 36).filter(|id| is_id(id) && *id != NOBODY) {
                let known = &mut self.ids[side];
                let next = known.len();
                let number = *known.entry(id.to_owned()).or_insert(next);
                numbered.push_str(&format!("id-{number:05}"));
                at += 36;
            } else {
                let character = text[at..].chars().next().expect("a character");
                numbered.push(character);
                at += character.len_utf8();
            }
        }
        numbered
    }

    fn same_json(&mut self, place: &str, one: &Value, other: &Value) -> Result<(), String> {
        match (one, other) {
            (Value::Object(left), Value::Object(right)) => {
                let names = |object: &serde_json::Map<String, Value>| {
                    let mut names: Vec<_> = object.keys().cloned().collect();
                    names.sort();
                    names
                };
                same(&format!("the fields of {place}"), &names(left), &names(right))?;
                for (name, value) in left {
                    let (place, other) = (format!("{place}.{name}"), &right[name]);
                    // The agents are of different ports, and a hash is a hash.
                    let own =
                        name == "ContentHash" || (left.get("Service") == Some(&json!("consul")) && name == "Port");
                    let own = own || (left.get("ServiceName") == Some(&json!("consul")) && name == "ServicePort");
                    match name.as_str() {
                        "CreateIndex" | "ModifyIndex" => self.same_index(&place, value, other)?,
                        _ if own => same(&place, &value.is_null(), &other.is_null())?,
                        _ => self.same_json(&place, value, other)?,
                    }
                }
                if let (Some(Value::String(key)), Some(_)) = (left.get("Key"), left.get("ModifyIndex")) {
                    self.keys.insert(key.clone(), self.told.len() - 1);
                }
                Ok(())
            }
            (Value::Array(left), Value::Array(right)) => {
                same(&format!("the length of {place}"), &left.len(), &right.len())?;
                left.iter()
                    .zip(right)
                    .enumerate()
                    .try_for_each(|(number, (one, other))| self.same_json(&format!("{place}[{number}]"), one, other))
            }
            (Value::String(one), Value::String(other)) => same(place, &masked(one), &masked(other)),
            _ => same(place, one, other),
        }
    }

    /// Two indexes in the same place: as old as the run, or of the same write.
    fn same_index(&mut self, place: &str, one: &Value, other: &Value) -> Result<(), String> {
        let (Some(one), Some(other)) = (one.as_u64(), other.as_u64()) else { return same(place, one, other) };
        let old = [one < self.begin[0], other < self.begin[1]];
        same(&format!("whether {place} is older than the first step"), &old[0], &old[1])?;
        if old[0] {
            return Ok(());
        }
        if self.indexes.get(&one) != Some(&other) {
            let below = self.indexes.range(..=one).next_back().map_or(0, |(_, other)| *other);
            let above = self.indexes.range(one..).next().map_or(u64::MAX, |(_, other)| *other);
            if !(below < other && other < above) {
                return Err(format!("{place}: {one} and {other} are not of the same write"));
            }
            self.indexes.insert(one, other);
        }
        self.told.push([one, other]);
        Ok(())
    }

    /// The index of a read has moved on both since the same was last read, or on none.
    fn same_movement(&mut self, step: &Step, replies: &[Reply; 2]) -> Result<(), String> {
        // Before a failure some endpoints have said something of an index, and some have not.
        if replies[0].status >= 400 && ![404, 409].contains(&replies[0].status) {
            return Ok(());
        }
        let leader = [0, 1].map(|side| replies[side].header("x-consul-knownleader"));
        same("x-consul-knownleader", &leader[0], &leader[1])?;
        let has = [0, 1].map(|side| replies[side].header("x-consul-index").is_some());
        same("whether there is an index", &has[0], &has[1])?;
        if !has[0] || step.path.starts_with("event/") {
            return Ok(());
        }
        let index = [replies[0].index(), replies[1].index()];
        let path = step.path.split("index=").next().unwrap_or_default().trim_end_matches(['?', '&']);
        if let Some(before) = self.reads.insert(path.to_owned(), index) {
            let moved = [0, 1].map(|side| index[side].cmp(&before[side]));
            if moved[0] != moved[1] {
                return Err(format!("the index moved otherwise: {before:?} before, {index:?} now"));
            }
        }
        Ok(())
    }

    // --- what is asked ---

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.usize(..of.len())]
    }

    fn often(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    fn session(&mut self) -> String {
        match self.random.u32(..20) {
            0 => NOBODY.to_owned(),
            1 => "abc".to_owned(),
            2 => String::new(),
            _ if self.sessions.is_empty() => NOBODY.to_owned(),
            // The younger ones live.
            number => {
                let last = self.sessions.len();
                let back = if number < 16 { 4 } else { 30 }.min(last);
                format!("<s{}>", last - 1 - self.random.usize(..back))
            }
        }
    }

    /// An index of the recent past, or one that never was.
    fn index(&mut self, key: &str) -> String {
        match self.random.u32(..6) {
            0 => "0".to_owned(),
            1 => format!("<i{}>", self.told.len() - 1 - self.random.usize(..self.told.len().min(20))),
            2 => "1".to_owned(),
            _ => self.keys.get(key).map_or_else(|| "0".to_owned(), |number| format!("<i{number}>")),
        }
    }

    fn next(&mut self) -> Vec<Step> {
        match self.random.u32(..100) {
            0..30 => self.key_write(),
            30..48 => vec![self.key_read()],
            48..54 => vec![self.session_create()],
            54..64 => vec![self.session_other()],
            64..74 => self.transaction(),
            74..82 => vec![self.catalog_write()],
            82..91 => vec![self.catalog_read()],
            91..95 => self.of_the_agent(),
            _ => vec![self.odd()],
        }
    }

    fn key_write(&mut self) -> Vec<Step> {
        let key = self.one(KEYS);
        let value = self.one(&["", "x", "y", "long value"]).to_owned();
        let flags =
            if self.often(30) { self.one(&["flags=7&", "flags=18446744073709551615&", "flags=0&"]) } else { "" };
        let read = get(format!("kv/{key}"));
        let write = |query: String| step("PUT", format!("kv/{key}?{flags}{query}"), value.clone());
        match self.random.u32(..12) {
            0..3 => vec![write(String::new())],
            3 => vec![read.clone(), write(format!("cas={}", self.index(key))), read],
            4..7 => vec![write(format!("acquire={}", self.session())), read],
            7 => vec![write(format!("release={}", self.session())), read],
            8 => {
                // By whom it was last held, most likely.
                let session = self.session();
                vec![write(format!("acquire={session}")), write(format!("release={session}")), read]
            }
            9 => vec![step("DELETE", format!("kv/{key}"), ""), read],
            10 => vec![read.clone(), step("DELETE", format!("kv/{key}?cas={}", self.index(key)), ""), read],
            _ => {
                let prefix = self.one(&["dir/", "dir", "lock/", "dir/sub/", "none/", "a"]);
                vec![step("DELETE", format!("kv/{prefix}?recurse"), ""), get("kv/?recurse")]
            }
        }
    }

    fn key_read(&mut self) -> Step {
        let key = self.one(KEYS);
        let prefix = self.one(&["", "dir", "dir/", "dir/s", "lock", "none", "none/", "a"]);
        match self.random.u32(..10) {
            0..3 => get(format!("kv/{key}")),
            3 => get(format!("kv/{key}?raw")),
            4..6 => get(format!("kv/{prefix}?recurse")),
            6 => get(format!("kv/{prefix}?keys")),
            7 => get(format!("kv/{prefix}?keys&separator={}", self.one(&["/", "", "s", "sub/", "r"]))),
            8 => get(format!("kv/{key}?{}", self.one(&["consistent", "stale", "dc=dc1", "partition=p", "pretty"]))),
            _ => {
                // An index that was told, with a wait that hardly is one.
                let index = format!("<i{}>", self.told.len() - 1 - self.random.usize(..self.told.len().min(9)));
                let what =
                    self.one(&["kv/a", "kv/lock", "kv/dir/?recurse", "kv/none", "session/list", "catalog/nodes"]);
                let and = if what.contains('?') { '&' } else { '?' };
                get(format!("{what}{and}index={index}&wait=1ms"))
            }
        }
    }

    fn session_create(&mut self) -> Step {
        let mut body = json!({"LockDelay": if self.often(90) { "0s" } else { "10m" }});
        let any = |run: &mut Self, values: &[Value]| values[run.random.usize(..values.len())].clone();
        if self.often(50) {
            body["Name"] = any(self, &[json!("n"), json!(""), json!(1), json!("ü")]);
        }
        if self.often(30) {
            body["Behavior"] =
                any(self, &[json!("delete"), json!("delete"), json!("release"), json!(""), json!("Delete")]);
        }
        if self.often(30) {
            let ttls = [
                json!("1h"),
                json!("90m"),
                json!(""),
                json!("0s"),
                json!("9s"),
                json!("1d"),
                json!(3600),
                json!("24h1s"),
            ];
            body["TTL"] = any(self, &ttls);
        }
        if self.often(30) {
            let nodes = [json!("n1"), json!("n2"), json!("n3"), json!("node1"), json!("nope"), json!("")];
            body["Node"] = any(self, &nodes);
        }
        if self.often(50) {
            let checks =
                [json!([]), json!(null), json!(["c1"]), json!(["c2", "c1"]), json!(["serfHealth"]), json!("c1")];
            body["NodeChecks"] = any(self, &checks);
        }
        if self.often(10) {
            body["Checks"] = any(self, &[json!([]), json!(null), json!(["serfHealth"]), json!(["c1"])]);
        }
        if self.often(10) {
            body["ServiceChecks"] =
                any(self, &[json!([]), json!([{"ID": "c1"}]), json!([{"ID": "service:own"}]), json!([1])]);
        }
        if self.often(5) {
            let delays = [json!("15"), json!(true), json!(-1), json!("-5s"), json!(0), json!("1d")];
            body["LockDelay"] = any(self, &delays);
        }
        let body = if self.often(4) {
            any(self, &[json!("x"), json!([]), json!(""), json!("{"), json!("null")])
        } else {
            body
        };
        put("session/create", &body)
    }

    fn session_other(&mut self) -> Step {
        let session = self.session();
        match self.random.u32(..12) {
            0..4 => put(format!("session/destroy/{session}"), &json!("")),
            4 => put(format!("session/renew/{session}"), &json!("")),
            5..7 => get(format!("session/info/{session}")),
            7..9 => get("session/list"),
            9 => get("session/list?stale"),
            _ => get(format!("session/node/{}", self.one(&["node1", "n1", "n2", "nope", ""]))),
        }
    }

    fn transaction(&mut self) -> Vec<Step> {
        let mut operations = Vec::new();
        let mut about = Vec::new();
        for _ in 0..self.random.usize(1..5) {
            let key = self.one(KEYS);
            about.push(get(format!("kv/{key}")));
            let verbs = [
                "set",
                "set",
                "set",
                "get",
                "get",
                "get-tree",
                "delete",
                "delete-tree",
                "cas",
                "delete-cas",
                "check-index",
                "check-session",
                "check-not-exists",
                "lock",
                "lock",
                "unlock",
                "nope",
            ];
            let verb = self.one(&verbs);
            let mut operation = json!({"Verb": verb, "Key": key});
            let mut text = None;
            if self.often(70) {
                operation["Value"] = json!(self.one(&["eA==", "eXk=", ""]));
            }
            if self.often(20) {
                operation["Flags"] = json!(self.random.u32(..3));
            }
            if ["cas", "delete-cas", "check-index"].contains(&verb) {
                operation["Index"] = json!("INDEX");
                text = Some(self.index(key));
            }
            if ["check-session", "lock", "unlock"].contains(&verb) {
                operation["Session"] = json!(self.session());
            }
            let operation = json!({"KV": operation}).to_string();
            operations.push(text.map_or(operation.clone(), |index| operation.replace("\"INDEX\"", &index)));
        }
        let query = if self.often(10) { self.one(&["?stale", "?consistent", "?dc=nope"]) } else { "" };
        let mut steps = about.clone();
        steps.push(step("PUT", format!("txn{query}"), format!("[{}]", operations.join(","))));
        steps.extend(about);
        steps
    }

    fn catalog_write(&mut self) -> Step {
        let node = self.one(NODES);
        if self.often(25) {
            let mut body = json!({"Node": node});
            if self.often(40) {
                body["ServiceID"] = json!(self.one(SERVICES));
            }
            if self.often(40) {
                body["CheckID"] = json!(self.one(CHECKS));
            }
            return put("catalog/deregister", &body);
        }
        let mut body = json!({"Node": node, "Address": self.one(&["10.0.0.1", "10.0.0.1", "10.0.0.2"])});
        if self.often(10) {
            body["SkipNodeUpdate"] = json!(true);
        }
        if self.often(20) {
            body["NodeMeta"] = json!({"k": self.one(&["v", "w"])});
        }
        if self.often(50) {
            let service = self.one(SERVICES);
            body["Service"] = json!({"Service": if service == "web2" { "web" } else { service }, "ID": service});
            if self.often(50) {
                body["Service"]["Port"] = json!(self.random.u32(80..82));
            }
            if self.often(50) {
                body["Service"]["Tags"] = json!([self.one(&["a", "b"])]);
            }
            if self.often(20) {
                body["Service"]["Meta"] = json!({"m": "1"});
            }
        }
        if self.often(60) {
            let id = self.one(CHECKS);
            let mut check = json!({"CheckID": id, "Name": id, "Status": self.one(STATUSES)});
            if self.often(40) {
                check["ServiceID"] = json!(self.one(SERVICES));
            }
            if self.often(30) {
                check["Output"] = json!(self.one(&["one", "two"]));
            }
            body[if self.often(50) { "Check" } else { "Checks" }] = check;
            if body.get("Checks").is_some() {
                body["Checks"] = json!([body["Checks"]]);
            }
        }
        put("catalog/register", &body)
    }

    fn catalog_read(&mut self) -> Step {
        let (node, service) =
            (self.one(&["n1", "n2", "n3", "node1", "nope"]), self.one(&["web", "db", "consul", "own", "nope"]));
        let path = match self.random.u32(..12) {
            0 => "catalog/nodes".to_owned(),
            1 => "catalog/services".to_owned(),
            2 => format!("catalog/node/{node}"),
            3 => format!("catalog/service/{service}"),
            4 => format!("catalog/service/{service}?tag={}", self.one(&["a", "b", "c"])),
            5 => format!("health/node/{node}"),
            6 => format!("health/service/{service}"),
            7 => format!("health/service/{service}?tag={}", self.one(&["a", "b"])),
            8 => format!("health/service/{service}?passing=1"),
            9 => format!("health/checks/{service}"),
            10 => format!("health/state/{}", self.one(&["any", "passing", "warning", "critical", "nope"])),
            _ => format!("catalog/nodes?node-meta=k:{}", self.one(&["v", "w"])),
        };
        get(path)
    }

    fn of_the_agent(&mut self) -> Vec<Step> {
        let service = self.one(&["own", "own", "own2"]);
        let check = format!("service:{service}");
        let reads = [
            get("agent/services"),
            get("agent/checks"),
            get(format!("agent/service/{service}")),
            get(format!("agent/health/service/name/{service}")),
            get(format!("agent/health/service/id/{service}")),
            get(format!("health/service/{service}")),
            get("catalog/node/node1"),
        ];
        let write = match self.random.u32(..13) {
            10 => {
                let body = json!({"Name": "of-node", "TTL": "1h", "Status": self.one(&["passing", "warning", "odd"])});
                put("agent/check/register", &body)
            }
            11 => put(format!("agent/check/deregister/{}", self.one(&["of-node", "nope"])), &json!("")),
            12 => {
                let verb = self.one(&["pass", "warn", "fail"]);
                put(format!("agent/check/{verb}/{}", self.one(&[&check, "of-node"])), &json!(""))
            }
            0..4 => {
                let mut body = json!({"Name": service, "Port": self.random.u32(80..82)});
                if self.often(60) {
                    body["Check"] = json!({"TTL": "1h", "Status": self.one(STATUSES)});
                }
                if self.often(30) {
                    body["Tags"] = json!(["t"]);
                }
                let query = if self.often(50) { "?replace-existing-checks=true" } else { "" };
                put(format!("agent/service/register{query}"), &body)
            }
            4 => put(format!("agent/service/deregister/{service}"), &json!("")),
            5..8 => {
                // Without an output: a new one alone comes into the catalog minutes later.
                put(format!("agent/check/update/{check}"), &json!({"Status": self.one(STATUSES)}))
            }
            8 => put(
                format!("agent/service/maintenance/{service}?enable={}", self.one(&["true", "false", "x"])),
                &json!(""),
            ),
            _ => put(
                format!("agent/maintenance?enable={}&reason=why", self.one(&["true", "false", "false"])),
                &json!(""),
            ),
        };
        let read = reads[self.random.usize(..reads.len())].clone();
        vec![write, read]
    }

    /// What no client should send.
    fn odd(&mut self) -> Step {
        let paths = [
            "kv/",
            "kv/a?cas=x",
            "kv/a?flags=-1",
            "kv/a?acquire=",
            "kv/a?acquire=x&cas=1",
            "kv/a?acquire=x&release=y",
            "kv/a//b",
            "kv/a/../b",
            "kv/%0A",
            "kv/a?dc=nope",
            "kv/a?ns=team",
            "kv/a?index=x",
            "kv/a?wait=x",
            "kv/a?index=1&wait=1",
            "kv/a?stale&consistent",
            "session/info/",
            "session/info/abc",
            "session/renew/",
            "session/destroy/",
            "session/node/",
            "session/list?dc=nope",
            "session/nothing",
            "nothing",
            "txn",
            "catalog/register",
            "catalog/deregister",
            "catalog/node/",
            "catalog/service/",
            "catalog/nodes?index=x",
            "health/service/",
            "health/node/",
            "health/state/",
            "health/service/web?passing=x",
            "status/leader",
            "status/peers",
            "status/leader?dc=nope",
            "agent/service/",
            "agent/check/update/nope",
            "session/create",
            "catalog/datacenters",
            "acl/token/self",
            "event/list",
            "event/fire/",
            "acl/tokens",
            "internal/acl/authorize",
            "coordinate/node/nope",
            "agent/check/pass/nope",
            "agent/reload/x",
            "agent/service/maintenance/nope?enable=true",
            "agent/maintenance",
        ];
        let path = self.one(&paths);
        let method = ["GET", "PUT", "DELETE", "POST"][self.random.usize(..4)];
        let body = if method == "GET" || method == "DELETE" { "" } else { self.one(&["", "x", "{}", "[]", "null"]) };
        step(method, path, body)
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, one: &T, other: &T) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("{what}: {one:?} and {other:?}")) }
}

/// What is each agent's own: ports, and indexes in sentences.
fn masked(text: &str) -> String {
    let mut words: Vec<String> = text.trim_end().split(' ').map(str::to_owned).collect();
    for word in &mut words {
        if let Some((before, port)) = word.split_once("127.0.0.1:")
            && port.trim_matches('"').bytes().all(|byte| byte.is_ascii_digit())
        {
            *word = format!("{before}127.0.0.1:PORT");
        }
    }
    let sentence = text.contains("modify index");
    for word in words.iter_mut().filter(|word| sentence && word.bytes().all(|byte| byte.is_ascii_digit())) {
        *word = "INDEX".to_owned();
    }
    words.join(" ")
}

/// Lists of which the order is by chance, or by ids, in an order that both have.
fn sorted(mut value: Value) -> Value {
    fn text(value: &Value, path: &[&str]) -> String {
        let found = path.iter().try_fold(value, |value, name| value.get(name));
        found.and_then(Value::as_str).unwrap_or_default().to_owned()
    }
    if let Value::Object(fields) = &mut value {
        // Tags by service.
        for tags in fields.values_mut().filter_map(Value::as_array_mut).filter(|tags| tags.iter().all(Value::is_string))
        {
            tags.sort_by_key(|tag| tag.as_str().map(str::to_owned));
        }
        if fields.contains_key("AggregatedStatus")
            && let Some(checks) = fields.get_mut("Checks").and_then(Value::as_array_mut)
        {
            checks.sort_by_key(|check| text(check, &["CheckID"]));
        }
    }
    if let Value::Array(list) = &mut value {
        for one in &mut *list {
            *one = sorted(one.take());
        }
        if list.iter().all(|one| one.get("LockDelay").is_some()) {
            list.sort_by_key(|session| text(session, &["ID"]));
        }
        if list.iter().all(|one| one.get("AggregatedStatus").is_some()) {
            list.sort_by_key(|entry| text(entry, &["Service", "ID"]));
        }
    }
    value
}

/// Waits until the catalog has what the agent has: it brings it there a moment later.
fn settle(agent: &Target) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let wanted = || {
        let services = agent.get("agent/services").ok();
        let services = services.as_object().expect("services").iter();
        let services: Vec<_> =
            services.map(|(id, one)| (id.clone(), one["Port"].clone(), one["Tags"].clone())).collect();
        let checks = agent.get("agent/checks").ok();
        let checks = checks.as_object().expect("checks").iter();
        let mut checks: Vec<_> =
            checks.map(|(id, one)| (id.clone(), text(&one["Status"]), text(&one["Output"]))).collect();
        checks.sort();
        (services, checks)
    };
    let wanted = wanted();
    let mut has = wanted.clone();
    for _ in 0..2000 {
        let services = agent.get("catalog/node/node1").ok()["Services"].take();
        let services = services.as_object().expect("services").iter().filter(|(id, _)| *id != "consul");
        let services: Vec<_> =
            services.map(|(id, one)| (id.clone(), one["Port"].clone(), one["Tags"].clone())).collect();
        let checks = agent.get("health/node/node1").ok();
        let checks = checks.as_array().expect("checks").iter().filter(|one| one["CheckID"] != "serfHealth");
        let mut checks: Vec<_> =
            checks.map(|one| (text(&one["CheckID"]), text(&one["Status"]), text(&one["Output"]))).collect();
        checks.sort();
        has = (services, checks);
        if has == wanted {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("the catalog does not come to have what the agent has: {wanted:?}, but {has:?}");
}
