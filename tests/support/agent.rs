//! A real Consul agent on loopback, for one test or for a whole suite.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A real `consul agent -dev`. It ends when this is dropped, and when the test's process ends in whatever way: a
/// shell holds the other end of a pipe, and stops the agent by its own process id once the pipe closes.
#[derive(Debug)]
pub struct Agent {
    keeper: Child,
    host: String,
    port: u16,
    /// Its node's name.
    pub node: String,
    /// The other ports: serf lan, serf wan, server.
    pub ports: Vec<u16>,
    token: Option<String>,
    folder: Arc<TempDir>,
    /// What a client agent keeps.
    data: Option<TempDir>,
}

/// What the agent is to be like, beside the defaults.
#[derive(Debug, Default)]
pub struct Options {
    /// Its configuration, merged over `-dev`'s.
    pub config: Value,
    /// Its node's name; `node1` where it is `None`.
    pub node: Option<String>,
    /// A token that may do everything, where ACLs are on.
    pub token: Option<String>,
    /// Where it listens, on the port of HTTP if it is to be that one; `127.0.0.1` and any port where it is `None`.
    pub at: Option<(String, u16)>,
}

impl Agent {
    /// The agent that the tests of this suite share.
    pub fn shared() -> &'static Self {
        static AGENT: OnceLock<Agent> = OnceLock::new();
        AGENT.get_or_init(|| Self::start(Options::default()))
    }

    /// Starts a client agent of the node `node` in the datacenter of `server`: on another address of this machine, and on
    /// the same port.
    pub fn beside(server: &Self, node: &str) -> Self {
        let data = TempDir::new().expect("a folder");
        let config = json!({
            "server": false, "bootstrap": false, "data_dir": data.path(), "retry_interval": "1s",
            "retry_join": [format!("{}:{}", server.host, server.ports[0])],
        });
        let at = Some(("127.0.0.2".to_owned(), server.port));
        let options = Options { config, node: Some(node.to_owned()), at, ..Options::default() };
        let mut agent = Self::start(options);
        agent.data = Some(data);
        agent
    }

    /// Starts an agent of its own.
    pub fn start(options: Options) -> Self {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        let node = options.node.unwrap_or_else(|| "node1".to_owned());
        // Another process may take a port between the look and the start: then the agent ends, and says so.
        for _ in 0..5 {
            let mut ports = free_ports(4);
            let (host, port) = options.at.clone().unwrap_or_else(|| ("127.0.0.1".to_owned(), ports[0]));
            ports[0] = port;
            let agent = Self::launch("-dev", &host, &ports, &node, &options.config, options.token.as_ref(), &folder);
            if agent.becomes_ready() {
                return agent;
            }
        }
        panic!("no agent started: {}", std::fs::read_to_string(folder.path().join("log")).unwrap_or_default());
    }

    /// Starts so many servers of one cluster, and waits until they have a leader.
    pub fn cluster(count: usize) -> Vec<Self> {
        for _ in 0..5 {
            let ports = free_ports(4 * count);
            let join: Vec<_> = ports.chunks(4).map(|ports| format!("127.0.0.1:{}", ports[1])).collect();
            let servers = (1..).zip(ports.chunks(4)).map(|(number, ports)| Self::server(number, ports, &join));
            let servers: Vec<_> = servers.collect();
            if servers.iter().all(Self::becomes_ready) {
                return servers;
            }
        }
        panic!("no cluster of {count} started");
    }

    /// The server of this number of a cluster whose members `join` names.
    fn server(number: usize, ports: &[u16], join: &[String]) -> Self {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        // As quick to notice the death of a leader as Consul can be.
        let config = json!({
            "bootstrap_expect": join.len(), "data_dir": folder.path().join("data"), "retry_join": join,
            "retry_interval": "1s", "performance": {"raft_multiplier": 1}, "disable_update_check": true,
        });
        Self::launch("-server", "127.0.0.1", ports, &format!("node{number}"), &config, None, &folder)
    }

    /// `ports`: http, serf lan, serf wan, server.
    fn launch(
        mode: &str,
        host: &str,
        ports: &[u16],
        node: &str,
        config: &Value,
        token: Option<&String>,
        folder: &Arc<TempDir>,
    ) -> Self {
        let file = folder.path().join("config.json");
        std::fs::write(&file, if config.is_null() { "{}".to_owned() } else { config.to_string() })
            .expect("the configuration");
        let [port, lan, wan, server] = ports[..] else { unreachable!() };
        let mut command = Command::new("sh");
        command
            .args(["-c", "\"$@\" >\"$LOG\" 2>&1 & child=$!; read -r _; kill -9 $child; wait $child", "keeper"])
            .arg(super::tool("consul"))
            .args(["agent", mode, "-bind", host, "-client", host, "-dns-port", "-1", "-grpc-port", "-1"])
            .args(["-node", node, "-http-port", &port.to_string(), "-server-port", &server.to_string()])
            .args(["-serf-lan-port", &lan.to_string(), "-serf-wan-port", &wan.to_string(), "-config-file"])
            .arg(&file)
            .env("LOG", folder.path().join("log"))
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::null()); // the shell would announce the agent's end
        Self {
            keeper: command.spawn().expect("a shell"),
            host: host.to_owned(),
            port,
            node: node.to_owned(),
            ports: ports[1..].to_vec(),
            token: token.cloned(),
            folder: folder.clone(),
            data: None,
        }
    }

    /// Whether this server is the leader of its cluster, as it believes itself.
    pub fn is_leader(&self) -> bool {
        self.get("/v1/status/leader") == json!(format!("{}:{}", self.host, self.ports[2]))
    }

    fn becomes_ready(&self) -> bool {
        let (start, log) = (Instant::now(), self.folder.path().join("log"));
        while start.elapsed() < Duration::from_secs(60) {
            let checks = self.try_get(&format!("/v1/health/node/{}", self.node));
            let passing = |check: &Value| check["CheckID"] == "serfHealth" && check["Status"] == "passing";
            if checks.as_ref().and_then(Value::as_array).is_some_and(|checks| checks.iter().any(passing)) {
                return true;
            }
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if said.contains("address already in use") || said.contains("==> Error") {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    /// The agent's HTTP address.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The agent's process id.
    pub fn pid(&self) -> u32 {
        let keeper = self.keeper.id();
        let children = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).expect("its children");
        children.trim().parse().expect("one child")
    }

    /// A folder that lives as long as the agent does.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn request(&self, method: &str, path: &str, body: Option<&str>) -> Option<(u16, String)> {
        let url = format!("http://{}{path}", self.address());
        let token = self.token.as_deref().unwrap_or_default();
        let result = match method {
            "GET" => http().get(&url).header("x-consul-token", token).call(),
            "DELETE" => http().delete(&url).header("x-consul-token", token).call(),
            _ => http().put(&url).header("x-consul-token", token).send(body.unwrap_or_default()),
        };
        let mut response = result.ok()?;
        let text = response.body_mut().with_config().limit(u64::MAX).read_to_string().ok()?;
        Some((response.status().as_u16(), text))
    }

    fn try_get(&self, path: &str) -> Option<Value> {
        serde_json::from_str(&self.request("GET", path, None)?.1).ok()
    }

    /// Reads JSON.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap_or_else(|| panic!("GET {path}: {:?}", self.request("GET", path, None)))
    }

    /// The keys below a prefix, as Consul gives them; none where there are none.
    #[track_caller]
    pub fn tree(&self, prefix: &str) -> Vec<Value> {
        self.try_get(&format!("/v1/kv/{prefix}?recurse")).and_then(|keys| keys.as_array().cloned()).unwrap_or_default()
    }

    /// Writes, and gives the answer's text.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> String {
        let body = if let Value::String(text) = body { text.clone() } else { body.to_string() };
        let (status, text) = self.request("PUT", path, Some(&body)).expect("an answer");
        assert_eq!(status, 200, "PUT {path}: {text}");
        text
    }

    /// Deletes.
    pub fn delete(&self, path: &str) {
        self.request("DELETE", path, None).expect("an answer");
    }

    /// Creates a session, as anybody may, and gives its id.
    #[track_caller]
    pub fn create_session(&self, session: &Value) -> String {
        let created: Value = serde_json::from_str(&self.put("/v1/session/create", session)).expect("JSON");
        created["ID"].as_str().expect("an id").to_owned()
    }

    /// The sessions of this name, the oldest first.
    #[track_caller]
    pub fn sessions(&self, name: &str) -> Vec<Value> {
        let mut sessions = self.get("/v1/session/list").as_array().expect("a list").clone();
        sessions.retain(|session| session["Name"] == name);
        sessions.sort_by_key(|session| session["CreateIndex"].as_u64());
        sessions
    }

    /// The ids of the sessions of this name, the oldest first.
    #[track_caller]
    pub fn session_ids(&self, name: &str) -> Vec<String> {
        self.sessions(name).iter().map(|session| session["ID"].as_str().expect("an id").to_owned()).collect()
    }

    /// Locks `key` for a session.
    #[track_caller]
    pub fn lock(&self, key: &str, session: &str) {
        assert_eq!(self.put(&format!("/v1/kv/{key}?acquire={session}"), &json!("x")).trim(), "true");
    }

    /// Registers a node without an agent, which no other test knows.
    pub fn external_node(&self, name: &str) {
        self.put("/v1/catalog/register", &json!({"Node": name, "Address": "127.0.0.1"}));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// An HTTP client that takes every status as an answer.
pub fn http() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
}

/// Ports that are free now, all different.
pub fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("an address").port()).collect()
}
