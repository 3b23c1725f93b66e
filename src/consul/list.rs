//! A list of records as Consul sent it, not taken apart yet.

use std::marker::PhantomData;
use std::thread;

use memchr::memmem;
use serde::de::DeserializeOwned;

use super::client::Client;
use super::error::Error;
use super::query::QueryMeta;
use super::request::Request;
use super::transport::Response;

/// A list of records, still JSON: whoever makes something else of very many never holds them all.
#[derive(Debug)]
pub struct RawList<T> {
    client: Client,
    request: Request,
    response: Response,
    _records: PhantomData<fn() -> T>,
}

/// Of a shorter part, in bytes, no thread is made: to start one takes as long as to read some tens of kilobytes.
const WORTH_A_THREAD: usize = 256 * 1024;

/// A short record, in bytes: a session takes some 300. There is room for so many from the beginning: a long list would else
/// be copied again and again while it grows.
const SMALL_RECORD: usize = 256;

impl<T: DeserializeOwned> RawList<T> {
    pub(super) fn new(client: Client, request: Request, response: Response) -> Self {
        Self { client, request, response, _records: PhantomData }
    }

    /// What the answer says of itself.
    pub fn meta(&self) -> &QueryMeta {
        &self.response.meta
    }

    /// What `make` makes of the records, in their order. Long lists are read in as many threads as there are cores.
    ///
    /// # Errors
    /// [`Error::Decode`], where it is no list of such records; `make` has seen some of them then.
    pub fn map<R: Send>(&self, make: impl Fn(T) -> R + Sync) -> Result<Vec<R>, Error> {
        // Known to be UTF-8, texts in it need not be looked through one by one.
        let body = std::str::from_utf8(&self.response.body).unwrap_or_default();
        let worth = body.len() / WORTH_A_THREAD;
        if worth > 0 {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            if let Some(made) = read_parts(&split(body, worth.min(cores)), &make) {
                return Ok(made);
            }
        }
        // It is short, or no such list, or a cut was not between two records, but only looked so.
        let (records, _) = self.client.decode::<Vec<T>>(&self.request, &self.response)?;
        Ok(records.into_iter().map(make).collect())
    }
}

/// Cuts a list of objects into so many parts, without its brackets and the commas at the cuts; none where it does not look
/// like one. The records stand alike, so that a cut is a comma that is followed by what the list begins with. A record may
/// hold other objects that begin alike. Then its parts are no JSON: where all parts are, so is the whole, and says the same.
fn split(list: &str, count: usize) -> Vec<&str> {
    let inner = list.trim_ascii().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let first = inner.and_then(|inner| inner.get(..=inner.find(':')?));
    let (Some(mut rest), Some(first)) = (inner, first) else { return Vec::new() };
    let between = ["},", first].concat();
    let mut parts = Vec::new();
    for left in (1..=count).rev() {
        let from = rest.len() / left;
        let cut =
            memmem::find(rest.as_bytes().get(from..).unwrap_or_default(), between.as_bytes()).filter(|_| left > 1);
        let Some((part, others)) = cut.and_then(|at| rest.split_at_checked(from + at + 1)) else {
            parts.push(rest);
            break;
        };
        parts.push(part);
        rest = others.strip_prefix(',').unwrap_or(others);
    }
    parts
}

/// What is made of the records of all parts; `None` where one is no JSON.
fn read_parts<T: DeserializeOwned, R: Send>(parts: &[&str], make: &(impl Fn(T) -> R + Sync)) -> Option<Vec<R>> {
    let (first, others) = parts.split_first()?;
    thread::scope(|scope| {
        let others: Vec<_> = others.iter().map(|part| scope.spawn(|| read_part(part, make))).collect();
        let mut made = read_part(first, make);
        for other in others {
            // Each is waited for, whatever the others gave.
            let other = other.join().ok().flatten();
            made = made.zip(other).map(|(mut made, mut other)| {
                made.append(&mut other);
                made
            });
        }
        made
    })
}

fn read_part<T: DeserializeOwned, R>(mut part: &str, make: &impl Fn(T) -> R) -> Option<Vec<R>> {
    let mut made = Vec::with_capacity(part.len() / SMALL_RECORD);
    loop {
        let mut records = serde_json::Deserializer::from_str(part).into_iter::<T>();
        made.push(make(records.next()?.ok()?));
        part = part.get(records.byte_offset()..)?.trim_ascii_start();
        if part.is_empty() {
            return Some(made);
        }
        part = part.strip_prefix(',')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::consul::{Config, ServiceCheckEntry, SessionEntry, Transport};

    #[derive(Debug)]
    struct Nobody;

    impl Transport for Nobody {
        fn send(&self, _: &Request, _: &str, _: std::time::Duration) -> Result<Response, Error> {
            unreachable!("nothing is sent")
        }
    }

    fn list(body: &[u8]) -> RawList<SessionEntry> {
        let client = Client::with_transport(Config::default(), Arc::new(Nobody));
        let response = Response { status: 200, body: body.to_vec(), ..Response::default() };
        RawList::new(client, Request::get(&["session", "list"]), response)
    }

    fn entry(number: usize, checks: usize) -> SessionEntry {
        let check = |check| ServiceCheckEntry { id: format!("}},{{\"ID\":\"{check}"), namespace: None };
        SessionEntry {
            id: format!("{number}"),
            name: "},{\"ID\":\"x\"},\n  {\n    \"ID\": ".to_owned(),
            service_checks: (0..checks).map(check).collect(),
            ..SessionEntry::default()
        }
    }

    #[test]
    fn a_list_says_the_same_in_however_many_parts() {
        for checks in [0, 1, 5] {
            let entries: Vec<_> = (0..300).map(|number| entry(number, checks)).collect();
            for text in [serde_json::to_string(&entries).unwrap(), serde_json::to_string_pretty(&entries).unwrap()] {
                for count in 1..20 {
                    let parts = split(&text, count);
                    let read: Option<Vec<SessionEntry>> = read_parts(&parts, &|entry| entry);
                    // Objects in the records that begin alike, and stand alike, are the one reason to give up.
                    let indented = text.contains('\n');
                    assert!(read.is_some() || (checks > 1 && !indented && count > 1), "{checks} {count}");
                    assert!(read.is_none_or(|read| read == entries && parts.len() == count), "{checks} {count}");
                }
                assert_eq!(list(text.as_bytes()).map(|entry| entry).unwrap(), entries);
            }
        }
    }

    #[test]
    fn a_long_list_is_read_in_parts_and_in_order() {
        let entries: Vec<_> = (0..20_000).map(|number| entry(number, 2)).collect();
        let text = serde_json::to_vec(&entries).unwrap();
        assert!(text.len() > 4 * WORTH_A_THREAD);
        let expected: Vec<_> = entries.into_iter().map(|entry| entry.id).collect();
        assert_eq!(list(&text).map(|entry| entry.id).unwrap(), expected);
    }

    #[test]
    fn what_is_no_list_of_records_is_an_error_that_says_where() {
        let good = serde_json::to_string(&(0..5000).map(|number| entry(number, 0)).collect::<Vec<_>>()).unwrap();
        assert!(list(b" [] ").map(|entry| entry).unwrap().is_empty());
        let (cut, tail) = (good[..good.len() - 100].to_owned(), format!("{good} x"));
        let inside = good.replacen("\"LockDelay\":0", "\"LockDelay\":\"soon\"", 1);
        let comma = good.replace("}]", "},]");
        for text in ["", "null", "{}", "[1]", "[{}", "[{},]", "[{} {}]", &cut, &tail, &inside, &comma] {
            let error = list(text.as_bytes()).map(|entry| entry).unwrap_err();
            let Error::Decode { source, .. } = &error else { panic!("{error}") };
            let whole = serde_json::from_str::<Vec<SessionEntry>>(text).unwrap_err();
            assert_eq!(source.to_string(), whole.to_string());
        }
    }
}
