//! Which keys Consul takes for what they are.

/// The longest value, in bytes: Consul's default `kv_max_value_size`, 512 KiB.
pub const MAX_VALUE: usize = 512 * 1024;

/// Why a key, or its value, is not sent: Consul would refuse it, or take it for another key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No key at all.
    #[error("the key is empty: name one, such as service/web/config")]
    Empty,
    /// Consul answers a redirect to another key, and a client that follows it writes there.
    #[error("key {key:?} is another key to Consul: write {instead:?}")]
    Rewritten {
        /// The key.
        key: String,
        /// The key that Consul would make of it.
        instead: String,
    },
    /// Consul answers 400.
    #[error("key {key:?} holds a newline or another control character: use printable characters only")]
    Control {
        /// The key.
        key: String,
    },
    /// A prefix that is not the end of a folder matches more than a tree.
    #[error("prefix {prefix:?} would match {prefix:?}-anything too: write {prefix:?} with a slash behind it")]
    NoFolder {
        /// The prefix.
        prefix: String,
    },
    /// Longer than [`MAX_VALUE`].
    #[error("the value of key {key:?} is {length} bytes long, and {MAX_VALUE} is the most that Consul takes")]
    TooLong {
        /// The key.
        key: String,
        /// The value's length, in bytes.
        length: usize,
    },
}

/// Checks a key. A trailing slash is fine: it makes another key, which user interfaces show as a folder.
///
/// ```
/// use lictor::consul::{KeyError, check_key};
///
/// assert_eq!(check_key("service/web/config"), Ok(()));
/// let error = check_key("/service//web").unwrap_err();
/// assert!(error.to_string().contains("write \"service/web\""));
/// ```
///
/// # Errors
/// Where Consul would refuse the key, or redirect to another one.
pub fn check_key(key: &str) -> Result<(), KeyError> {
    if key.is_empty() {
        return Err(KeyError::Empty);
    }
    check_prefix(key)
}

/// Checks a prefix: as a key, but it may be empty, which is the root.
///
/// # Errors
/// As for [`check_key`].
pub fn check_prefix(prefix: &str) -> Result<(), KeyError> {
    if prefix.chars().any(char::is_control) {
        return Err(KeyError::Control { key: prefix.to_owned() });
    }
    // Most keys have no such segment, and of many each is checked.
    if prefix.split('/').all(|segment| !matches!(segment, "" | "." | "..")) {
        return Ok(());
    }
    let instead = cleaned(prefix);
    if instead != prefix {
        return Err(KeyError::Rewritten { key: prefix.to_owned(), instead });
    }
    Ok(())
}

/// Checks the prefix of a whole tree: it has to end in a slash, so that it matches no neighbour.
///
/// # Errors
/// As for [`check_key`], and where the slash is missing.
pub fn check_tree(prefix: &str) -> Result<(), KeyError> {
    check_key(prefix)?;
    if prefix.ends_with('/') { Ok(()) } else { Err(KeyError::NoFolder { prefix: prefix.to_owned() }) }
}

/// Checks a value's length.
///
/// # Errors
/// Where it is longer than [`MAX_VALUE`].
pub fn check_value(key: &str, value: &[u8]) -> Result<(), KeyError> {
    if value.len() > MAX_VALUE {
        return Err(KeyError::TooLong { key: key.to_owned(), length: value.len() });
    }
    Ok(())
}

/// The key that Consul's HTTP server redirects to: Go's `path.Clean`, which keeps a trailing slash.
fn cleaned(key: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in key.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let folder = if key.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    segments.join("/") + folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_consul_redirects_are_refused_with_what_to_write() {
        for (key, instead) in [
            ("/a", "a"),
            ("a//b", "a/b"),
            ("a/./b", "a/b"),
            ("a/../b", "b"),
            ("a/b//", "a/b/"),
            ("/", ""),
            ("..", ""),
            ("./a/", "a/"),
        ] {
            let rewritten = KeyError::Rewritten { key: key.to_owned(), instead: instead.to_owned() };
            assert_eq!(check_key(key), Err(rewritten), "{key}");
        }
    }

    #[test]
    fn what_consul_takes_is_taken() {
        for key in ["a", "a/", "a/b", "a b+c%d", "ünïcödé/✓", "a/...", "a/.b", "a..b", "a?b=c&d#e"] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
    }

    #[test]
    fn a_tree_ends_in_a_slash() {
        assert_eq!(check_tree("a/"), Ok(()));
        assert!(matches!(check_tree("an"), Err(KeyError::NoFolder { .. })));
        assert_eq!(check_tree(""), Err(KeyError::Empty));
        assert_eq!(check_prefix(""), Ok(()));
        assert!(matches!(check_key("a\nb"), Err(KeyError::Control { .. })));
    }
}
