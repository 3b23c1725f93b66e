//! `lictor dev`, the agent in memory, for one test or for a whole suite.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::agent::http;

/// A `lictor dev`. It ends as [`Agent`](super::Agent) does: when this is dropped, and when the test's process ends in
/// whatever way.
#[derive(Debug)]
pub struct Dev {
    keeper: Child,
    address: String,
}

impl Dev {
    /// Starts one on any port of loopback, of the node `node1`, with these further arguments.
    #[track_caller]
    pub fn start(arguments: &[&str]) -> Self {
        let mut keeper = Command::new("sh")
            .args(["-c", "\"$@\" & child=$!; exec >&-; read -r _; kill -9 $child; wait $child", "keeper"])
            .arg(env!("CARGO_BIN_EXE_lictor"))
            .args(["dev", "--listen", "127.0.0.1:0", "--node", "node1"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()) // the shell would announce its end
            .spawn()
            .expect("a shell");
        let mut lines = BufReader::new(keeper.stdout.take().expect("standard output")).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("http://")?;
            let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit()).unwrap_or(rest.len());
            Some(rest[..end].to_owned())
        });
        // What it prints later must not fill the pipe, nor break it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { keeper, address: address.expect("a line with its address") }
    }

    /// Its HTTP address.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// Moves its clock on.
    #[track_caller]
    pub fn pass(&self, time: Duration) {
        let url = format!("http://{}/v1/lictor/clock?advance={}ms", self.address, time.as_millis());
        let answer = http().put(&url).send_empty().expect("an answer");
        assert_eq!(answer.status(), 200, "{url}");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
