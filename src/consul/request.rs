//! A request as a value: tested without a socket, sent by the transport.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::query::Query;

/// The HTTP methods that Consul's API uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Reads.
    Get,
    /// Writes.
    Put,
    /// Asks with a body.
    Post,
    /// Deletes.
    Delete,
}

impl Method {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// One request to Consul's HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    method: Method,
    path: String,
    query: Vec<String>,
    body: Option<Vec<u8>>,
    repeatable: bool,
}

/// Everything is encoded but what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

impl Request {
    /// A read of `/v1/` and these segments, each encoded.
    pub fn get(segments: &[&str]) -> Self {
        Self::new(Method::Get, segments, true)
    }

    /// A write to `/v1/` and these segments, each encoded.
    pub fn put(segments: &[&str]) -> Self {
        Self::new(Method::Put, segments, false)
    }

    /// A question to `/v1/` and these segments, each encoded, that needs a body. It writes nothing.
    pub fn post(segments: &[&str]) -> Self {
        Self::new(Method::Post, segments, true)
    }

    fn new(method: Method, segments: &[&str], repeatable: bool) -> Self {
        let mut path = String::from("/v1");
        for segment in segments {
            path.push('/');
            path.push_str(&encoded(segment));
        }
        Self { method, path, query: Vec::new(), body: None, repeatable }
    }

    /// A read below `/v1/kv/`. The slashes of a key part its segments; everything else is encoded.
    pub fn get_kv(key: &str) -> Self {
        Self::kv(Method::Get, key, true)
    }

    /// A write below `/v1/kv/`.
    pub fn put_kv(key: &str) -> Self {
        Self::kv(Method::Put, key, false)
    }

    /// A delete below `/v1/kv/`.
    pub fn delete_kv(key: &str) -> Self {
        Self::kv(Method::Delete, key, false)
    }

    fn kv(method: Method, key: &str, repeatable: bool) -> Self {
        let segments: Vec<&str> = ["kv"].into_iter().chain(key.split('/')).collect();
        Self::new(method, &segments, repeatable)
    }

    /// Adds the parameters that `query` stands for.
    #[must_use]
    pub fn with(mut self, query: &Query) -> Self {
        for (name, value) in query.parameters() {
            self = match value {
                Some(value) => self.parameter(name, value),
                None => self.flag(name),
            };
        }
        self
    }

    /// Adds `name=value`, the value encoded.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.query.push(format!("{name}={}", encoded(value)));
        self
    }

    /// Adds `name`, without a value.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.query.push(name.to_owned());
        self
    }

    /// Gives it a body.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    /// Says that doing it twice is the same as doing it once, so that it may be sent again when in doubt.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Its method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Its path and query, as on the wire.
    pub fn path_and_query(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query.join("&")) }
    }

    /// Its body.
    pub fn body_bytes(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }

    /// True where it may be sent again when in doubt.
    pub fn is_repeatable(&self) -> bool {
        self.repeatable
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consul::Consistency;

    #[test]
    fn every_segment_is_encoded_by_itself() {
        let request = Request::get(&["session", "node", "a/b c+ü%"]);
        assert_eq!(request.path_and_query(), "/v1/session/node/a%2Fb%20c%2B%C3%BC%25");
    }

    #[test]
    fn the_slashes_of_a_key_stay() {
        assert_eq!(Request::get_kv("a b/c/").path_and_query(), "/v1/kv/a%20b/c/");
        assert_eq!(Request::get_kv("").path_and_query(), "/v1/kv/");
    }

    #[test]
    fn a_query_becomes_parameters() {
        let query = Query {
            datacenter: Some("dc 2".to_owned()),
            namespace: Some("team".to_owned()),
            partition: Some("p".to_owned()),
            consistency: Consistency::Consistent,
        };
        let request = Request::put(&["session", "create"]).with(&query);
        assert_eq!(request.path_and_query(), "/v1/session/create?dc=dc%202&ns=team&partition=p&consistent");
        assert_eq!(Request::get(&["a"]).with(&Query::default()).path_and_query(), "/v1/a");
    }

    #[test]
    fn reads_may_be_repeated_and_writes_only_where_they_say_so() {
        assert!(Request::get(&["a"]).is_repeatable());
        assert!(!Request::put(&["a"]).is_repeatable());
        assert!(Request::put(&["a"]).repeatable().is_repeatable());
    }
}
