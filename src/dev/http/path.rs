//! Paths that Go's server does not take as they are: it redirects to what it makes of them.

use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::reply::{Answer, Refusal, Reply};
use super::routes::Route;

/// What Go escapes in a path.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The answer to a path that is not taken as it is.
pub(super) fn unclean(parts: &Parts) -> Option<Answer> {
    let raw = parts.uri.path();
    if !escapes_are_whole(raw) {
        return Some(Err(Refusal { close: true, ..Refusal::bad("400 Bad Request") }));
    }
    let path = percent_decode_str(raw).decode_utf8_lossy();
    let clean = clean(&path);
    let folder = format!("{clean}/");
    let target = match () {
        () if Route::of(&clean).is_none() && Route::is_folder(&folder) => folder,
        () if clean != path => clean,
        () if path == "/" => "/ui/".to_owned(),
        () => return None,
    };
    let mut location = utf8_percent_encode(&target, ESCAPED).to_string();
    if let Some(query) = parts.uri.query() {
        location.push('?');
        location.push_str(query);
    }
    // Go writes a page for those who look at it.
    let page = format!("<a href=\"{}\">Moved Permanently</a>.\n\n", escaped(&location));
    let reply = match parts.method {
        Method::GET | Method::HEAD => Reply::new(StatusCode::MOVED_PERMANENTLY, "text/html; charset=utf-8", page),
        _ => Reply::empty(StatusCode::MOVED_PERMANENTLY),
    };
    Some(Ok(reply.with(header::LOCATION, &location)))
}

/// Whether each `%` is followed by two hexadecimal digits.
fn escapes_are_whole(path: &str) -> bool {
    path.split('%').skip(1).all(|after| after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

/// Go's `path.Clean`, which keeps a slash at the end.
fn clean(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let folder = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{folder}", segments.join("/"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}

/// Whether Consul takes this character in a path.
pub(super) fn prints(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace())
}
