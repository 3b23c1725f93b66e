//! A list of records as Consul sends it, taken apart while it comes.

use std::io::{self, Read};
use std::marker::PhantomData;
use std::sync::mpsc::{self, TrySendError};
use std::sync::{Mutex, PoisonError};
use std::{fmt, mem, thread};

use memchr::memmem;
use serde::de::DeserializeOwned;

use super::client::Client;
use super::error::Error;
use super::query::QueryMeta;
use super::request::Request;
use super::transport::{Body, Response};
use crate::json::Strictly;

/// A list of records that is still to be read: whoever makes something else of very many never holds them all.
pub struct RawList<T> {
    client: Client,
    request: Request,
    response: Response,
    body: Body,
    _records: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for RawList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawList").field("request", &self.request).finish_non_exhaustive()
    }
}

/// How long a piece of a list is, in bytes, that one thread takes: to start a thread takes as long as to read some tens of
/// kilobytes.
const PIECE: usize = 256 * 1024;

/// How many pieces wait for each thread: few, and it runs out of them while another one is cut; many, and they take memory.
const WAITING: usize = 4;

/// A short record, in bytes: a session takes some 300. There is room for so many from the beginning: a long list would else
/// be copied again and again while it grows.
const SMALL_RECORD: usize = 256;

impl<T: DeserializeOwned> RawList<T> {
    pub(super) fn new(client: Client, request: Request, response: Response, body: Body) -> Self {
        Self { client, request, response, body, _records: PhantomData }
    }

    /// Reads the list: what `make` makes of the records, piece by piece, in their order, and what the answer says of
    /// itself. Long ones are read in as many threads as there are cores. Where the answer breaks off, it is asked for once
    /// more, and the second one is all that counts.
    ///
    /// # Errors
    /// As for any other read; [`Error::Decode`], where it is no list of such records. `make` may have seen records then,
    /// and may see them twice.
    pub fn map<R: Send>(mut self, make: impl Fn(T) -> R + Sync) -> Result<(Vec<Vec<R>>, QueryMeta), Error> {
        let Self { client, request, response, body, .. } = &mut self;
        response.body.reserve(PIECE);
        let made = match body.take(PIECE as u64).read_to_end(&mut response.body) {
            Ok(PIECE..) => read_long(mem::take(&mut response.body), body, &make),
            Ok(_) => None,
            Err(_) => {
                response.body.clear();
                None
            }
        };
        if let Some(made) = made {
            return Ok((made, self.response.meta));
        }
        if response.body.is_empty() {
            *response = client.send(request)?;
        }
        let (records, meta) = client.decode::<Vec<T>>(request, response)?;
        Ok((vec![records.into_iter().map(make).collect()], meta))
    }
}

/// A piece of a list: some of its records with the commas between them, and its number.
type Piece = (usize, Vec<u8>);

/// What was made of a piece; or itself, where it is no JSON.
type Made<R> = (usize, Result<Vec<R>, Vec<u8>>);

/// What is made of the records of a list that begins with `start`; `None` where it breaks off, or is no such list. This
/// thread cuts it into pieces, and reads those itself that the others have no time for.
fn read_long<T: DeserializeOwned, R: Send>(
    start: Vec<u8>,
    body: &mut Body,
    make: &(impl Fn(T) -> R + Sync),
) -> Option<Vec<Vec<R>>> {
    let others = thread::available_parallelism().map_or(1, usize::from) - 1;
    let (sender, receiver) = mpsc::sync_channel(WAITING * others);
    let receiver = Mutex::new(receiver);
    let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
    let read = |(number, piece): Piece| (number, read_piece(&piece, make).ok_or(piece));
    thread::scope(|scope| {
        let work = || std::iter::from_fn(|| next().ok()).map(read).collect::<Vec<_>>();
        let others: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
        let mut made = Vec::new();
        let cut = cut(start, body, &mut |piece| {
            if let Err(TrySendError::Full(piece) | TrySendError::Disconnected(piece)) = sender.try_send(piece) {
                made.push(read(piece));
            }
        });
        drop(sender); // there are no more
        made.append(&mut work());
        for other in others {
            made.append(&mut other.join().ok()?);
        }
        cut.ok()?;
        put_together(made, make)
    })
}

/// Cuts a list of objects into pieces while it comes, without its brackets and the commas at the cuts. The records stand
/// alike, so that a cut is a comma that is followed by what the list begins with. A record may hold other objects that
/// begin alike. Then the pieces at that cut are no JSON, but they are together.
fn cut(mut piece: Vec<u8>, body: &mut Body, take: &mut dyn FnMut(Piece)) -> io::Result<()> {
    let no_list = || io::Error::from(io::ErrorKind::InvalidData);
    let inner = piece.trim_ascii_start().strip_prefix(b"[").ok_or_else(no_list)?;
    let first = inner.split_inclusive(|byte| *byte == b':').next().unwrap_or_default();
    let between = [b"},", first].concat();
    piece = inner.to_vec();
    for number in 0.. {
        let mut rest = Vec::with_capacity(PIECE + 16 * SMALL_RECORD); // with what is left of a record
        match memmem::rfind(&piece, &between) {
            Some(at) => {
                rest.extend(piece.drain(at + 1..).skip(1));
                take((number, piece));
            }
            None => rest.append(&mut piece), // a long record: it goes on
        }
        piece = rest;
        if body.take(PIECE as u64).read_to_end(&mut piece)? < PIECE {
            let last = piece.trim_ascii_end().strip_suffix(b"]").ok_or_else(no_list)?.len();
            piece.truncate(last);
            take((number + 1, piece));
            break;
        }
    }
    Ok(())
}

fn read_piece<T: DeserializeOwned, R>(piece: &[u8], make: &impl Fn(T) -> R) -> Option<Vec<R>> {
    // Known to be UTF-8, texts in it need not be looked through one by one.
    let mut piece = std::str::from_utf8(piece).ok()?;
    let mut made = Vec::with_capacity(piece.len() / SMALL_RECORD);
    loop {
        let mut records = serde_json::Deserializer::from_str(piece).into_iter::<Strictly<T>>();
        made.push(make(records.next()?.ok()?.0));
        piece = piece.get(records.byte_offset()..)?.trim_ascii_start();
        if piece.is_empty() {
            return Some(made);
        }
        piece = piece.strip_prefix(',')?;
    }
}

/// Everything that was made, in order. Pieces that are no JSON are read together with those beside them that are none.
fn put_together<T: DeserializeOwned, R>(mut made: Vec<Made<R>>, make: &impl Fn(T) -> R) -> Option<Vec<Vec<R>>> {
    made.sort_unstable_by_key(|(number, _)| *number);
    let (mut all, mut broken) = (Vec::with_capacity(made.len()), Vec::new());
    for (_, piece) in made {
        match piece {
            Err(piece) if broken.is_empty() => broken = piece,
            Err(piece) => {
                broken.push(b',');
                broken.extend(piece);
            }
            Ok(made) => {
                if !broken.is_empty() {
                    all.push(read_piece(&mem::take(&mut broken), make)?);
                }
                all.push(made);
            }
        }
    }
    if !broken.is_empty() {
        all.push(read_piece(&broken, make)?);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::consul::{Config, ServiceCheckEntry, SessionEntry, Transport};

    /// Answers with the same again.
    #[derive(Debug)]
    struct Again(Vec<u8>);

    impl Transport for Again {
        fn send(&self, _: &Request, _: &str, _: Duration) -> Result<Response, Error> {
            let meta = QueryMeta { filtered_by_acls: true, ..QueryMeta::default() };
            Ok(Response { status: 200, body: self.0.clone(), meta, ..Response::default() })
        }
    }

    /// A list whose first answer is `body`, and any later one is `whole`.
    fn broken_off(body: impl Read + Send + 'static, whole: &[u8]) -> RawList<SessionEntry> {
        let client = Client::with_transport(Config::default(), Arc::new(Again(whole.to_vec())));
        RawList::new(client, Request::get(&["session", "list"]), Response::default(), Box::new(body))
    }

    fn list(body: &[u8]) -> RawList<SessionEntry> {
        broken_off(Cursor::new(body.to_vec()), b"it was asked for twice")
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

    fn entries(count: usize, checks: usize) -> Vec<SessionEntry> {
        (0..count).map(|number| entry(number, checks)).collect()
    }

    #[test]
    fn a_list_says_the_same_in_however_many_pieces() {
        for (count, checks) in [(0, 0), (1, 1), (300, 5), (4_000, 0), (4_000, 1), (4_000, 5)] {
            let entries = entries(count, checks);
            for text in [serde_json::to_string(&entries).unwrap(), serde_json::to_string_pretty(&entries).unwrap()] {
                let read = list(format!(" {text}\n").as_bytes()).map(|entry| entry).unwrap().0.concat();
                assert!(read == entries, "{count} {checks} {}", read.len());
            }
        }
    }

    #[test]
    fn nor_do_pieces_of_a_record_pass_for_records() {
        for (count, checks) in [(1, 20_000), (40, 2_000)] {
            let entries = entries(count, checks);
            let text = serde_json::to_vec(&entries).unwrap();
            let read = broken_off(Cursor::new(text.clone()), &text).map(|entry| entry).unwrap().0.concat();
            assert!(read == entries, "{count} {checks} {}", read.len());
        }
    }

    #[test]
    fn a_list_that_breaks_off_is_asked_for_again() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let entries = entries(4_000, 1);
        let text = serde_json::to_vec(&entries).unwrap();
        for length in [0, 1, 1_000, PIECE, PIECE + 1, text.len() - 1, text.len()] {
            let read = broken_off(Cursor::new(text[..length].to_vec()).chain(Broken), &text).map(|entry| entry);
            let (read, meta) = read.unwrap();
            // Of two answers, what the second one says of itself is what is said of its records.
            assert!(read.concat() == entries && meta.filtered_by_acls, "{length}");
            if length > PIECE && length < text.len() {
                let cut_short = broken_off(Cursor::new(text[..length].to_vec()), &text).map(|entry| entry);
                assert!(cut_short.unwrap().0.concat() == entries, "{length}");
            }
        }
    }

    #[test]
    fn what_is_no_list_of_records_is_an_error_that_says_where() {
        let good = serde_json::to_string(&entries(5_000, 0)).unwrap();
        assert!(list(b" [] ").map(|entry| entry).unwrap().0.concat().is_empty());
        let (cut, tail) = (good[..good.len() - 100].to_owned(), format!("{good} x"));
        let inside = good.replacen("\"LockDelay\":0", "\"LockDelay\":\"soon\"", 1);
        let comma = good.replace("}]", "},]");
        let listed = good.replacen("\"ServiceChecks\":[]", "\"ServiceChecks\":[[\"id\",null]]", 1);
        assert_ne!(listed, good);
        for text in ["", "null", "{}", "[1]", "[{}", "[{},]", "[{} {}]", &cut, &tail, &inside, &comma, &listed] {
            let error = broken_off(Cursor::new(text.to_owned()), text.as_bytes()).map(|entry| entry).unwrap_err();
            let Error::Decode { source, .. } = &error else { panic!("{error}") };
            let whole = crate::json::read::<Vec<SessionEntry>>(text.as_bytes()).unwrap_err();
            assert_eq!(source.to_string(), whole.to_string());
        }
    }
}
