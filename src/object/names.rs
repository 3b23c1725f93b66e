//! A set of names.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::LazyLock;

use serde::Serialize;

use super::DEFAULT_CHECK;

/// A set of names, in order. Nearly every session has the one check that Consul gives it, and there may be very many
/// sessions: they share it.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Names(Cow<'static, [String]>);

static DEFAULT: LazyLock<[String; 1]> = LazyLock::new(|| [DEFAULT_CHECK.to_owned()]);

impl Names {
    /// None.
    pub const fn new() -> Self {
        Self(Cow::Borrowed(&[]))
    }

    /// [`DEFAULT_CHECK`], and no other.
    pub fn default_check() -> Self {
        Self(Cow::Borrowed(&*DEFAULT))
    }
}

impl From<Vec<String>> for Names {
    fn from(mut names: Vec<String>) -> Self {
        if !names.is_sorted() {
            names.sort();
        }
        names.dedup();
        if names == *DEFAULT { Self::default_check() } else { Self(names.into()) }
    }
}

impl FromIterator<String> for Names {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self::from(names.into_iter().collect::<Vec<_>>())
    }
}

impl<const N: usize> From<[String; N]> for Names {
    fn from(names: [String; N]) -> Self {
        Self::from(Vec::from(names))
    }
}

impl Deref for Names {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl IntoIterator for Names {
    type Item = String;
    type IntoIter = std::vec::IntoIter<String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_owned().into_iter()
    }
}

impl<'a> IntoIterator for &'a Names {
    type Item = &'a String;
    type IntoIter = std::slice::Iter<'a, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// As a set of the standard library: owners' records hold hashes of this text, see [`Object::hash`](super::Object::hash).
impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_set_is_one_whatever_its_names_order_and_reads_as_one() {
        let texts = ["b", "a", "b"].map(str::to_owned);
        let names = Names::from(texts.clone());
        assert_eq!(names, Names::from(["a", "b"].map(str::to_owned)));
        assert_eq!(format!("{names:?}"), format!("{:?}", BTreeSet::from(texts)));
        assert_eq!(format!("{:?}", Names::new()), "{}");
    }
}
