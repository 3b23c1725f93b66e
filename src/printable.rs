//! Texts that are anybody's, such as names and values, for a terminal.

use std::borrow::Cow;

/// `text` without what would break a line, or speak to the terminal: control characters are escaped.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_speaks_to_a_terminal_is_escaped_and_nothing_else_is() {
        assert_eq!(printable("a b\u{e9} \"'\\"), "a b\u{e9} \"'\\");
        assert_eq!(printable("a\n\u{1b}[31m\u{9b}\u{e9}"), "a\\n\\u{1b}[31m\\u{9b}\u{e9}");
    }
}
