//! Many keys at once: what to read of them, and what has to be done. Pure.

use crate::object::ObservedKey;

use super::{DesiredKey, KeyChange, KeyPolicy, UnsafeKey, plan_key};

/// Of a folder at the top of which no more keys than this are wanted, each is read by itself: that takes a moment, and
/// nobody knows how large the folder is.
const FEW: usize = 64;

/// A tree is read as a whole where it has at most this many keys for each that is wanted. A read by itself costs about
/// what fifty more small keys in an answer do; values may be large, though.
const SHARE: usize = 8;

/// Keys that are looked for together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look<'a> {
    /// Each by itself.
    Each(&'a [&'a str]),
    /// First the names below this folder, then what [`reads`] makes of them.
    Below(&'a str, &'a [&'a str]),
}

/// One read of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// A key.
    Key(&'a str),
    /// All keys below a folder.
    Tree(&'a str),
}

/// The plan of many keys, made while they are read: what is as desired is let go of at once.
#[derive(Debug)]
pub struct KeysPlan<'a> {
    desired: &'a [(String, DesiredKey)],
    policy: &'a KeyPolicy,
    /// Of each that is desired, whether it was seen to be so.
    settled: Vec<bool>,
    /// Those that were seen to be different.
    differ: Vec<ObservedKey>,
    /// The place of the one that comes next, where they are seen in order.
    next: usize,
}

impl<'a> KeysPlan<'a> {
    /// A plan for keys of which nothing has been seen yet. `desired` is in the order of the keys, with each key once.
    pub fn new(desired: &'a [(String, DesiredKey)], policy: &'a KeyPolicy) -> Self {
        Self { desired, policy, settled: vec![false; desired.len()], differ: Vec::new(), next: 0 }
    }

    /// A key that exists, in whatever order, desired or not.
    pub fn see(&mut self, observed: ObservedKey) {
        let key = observed.key.key.as_str();
        let is_next = self.desired.get(self.next).is_some_and(|(next, _)| next == key);
        let found =
            if is_next { Ok(self.next) } else { self.desired.binary_search_by(|(one, _)| one.as_str().cmp(key)) };
        let Ok(place) = found else { return };
        self.next = place + 1;
        let (Some((_, desired)), Some(settled)) = (self.desired.get(place), self.settled.get_mut(place)) else {
            return;
        };
        if plan_key(key, desired, Some(&observed), self.policy) == Ok(None) {
            *settled = true;
        } else {
            self.differ.push(observed);
        }
    }

    /// The changes, in the order of the keys: what was not seen does not exist.
    ///
    /// # Errors
    /// As [`plan_key`], for the first key that is not to be touched.
    pub fn finish(mut self) -> Result<Vec<KeyChange>, UnsafeKey> {
        ObservedKey::sort(&mut self.differ);
        let mut differ = self.differ.iter().peekable();
        let open = self.desired.iter().zip(&self.settled).filter(|(_, settled)| !**settled);
        let plan = |((key, desired), _): (&(String, DesiredKey), _)| {
            while differ.next_if(|observed| observed.key.key < *key).is_some() {}
            plan_key(key, desired, differ.next_if(|observed| observed.key.key == *key), self.policy).transpose()
        };
        open.filter_map(plan).collect()
    }
}

/// How to look for `keys`, which are in order.
///
/// | keys | look |
/// |---|---|
/// | in no folder | each |
/// | few in one folder at the top | each |
/// | many in one folder at the top | below the innermost folder that they share |
pub fn looks<'a>(keys: &'a [&'a str]) -> Vec<Look<'a>> {
    let top = |key: &'a str| child("", key).filter(|top| top.ends_with('/'));
    let look = |group: &'a [&'a str]| match (group, shared_folder(group)) {
        (group, Some(folder)) if group.len() > FEW => Look::Below(folder, group),
        (group, _) => Look::Each(group),
    };
    keys.chunk_by(|a, b| top(a) == top(b)).map(look).collect()
}

/// The fewest reads that give all `keys`, of which all exist, and not much more. `names` are those of all the keys
/// below `folder`. Both are in order.
pub fn reads<'a>(folder: &'a str, names: &[String], keys: &[&'a str]) -> Vec<Read<'a>> {
    let mut reads = Vec::new();
    let mut folders = vec![(folder, names, keys)];
    while let Some((folder, names, keys)) = folders.pop() {
        if names.len() <= SHARE * keys.len() {
            reads.push(Read::Tree(folder));
            continue;
        }
        for group in keys.chunk_by(|a, b| child(folder, a) == child(folder, b)) {
            match (group, group.first().and_then(|key| child(folder, key))) {
                ([_, _, ..], Some(inner)) => folders.push((inner, below(inner, names), group)),
                _ => reads.extend(group.iter().map(|key| Read::Key(key))),
            }
        }
    }
    reads
}

/// The folder, or the key, directly in `folder` in which `key` is, or that it is; `None` for the folder's own key.
fn child<'a>(folder: &str, key: &'a str) -> Option<&'a str> {
    let rest = key.get(folder.len()..).filter(|rest| !rest.is_empty())?;
    let length = rest.find('/').map_or(rest.len(), |slash| slash + 1);
    key.get(..folder.len() + length)
}

/// The innermost folder that all `keys` are in, which are in order.
fn shared_folder<'a>(keys: &[&'a str]) -> Option<&'a str> {
    let (first, last) = (*keys.first()?, *keys.last()?);
    let alike = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    let slash = first.bytes().take(alike).rposition(|byte| byte == b'/');
    first.get(..=slash?)
}

/// Those of `names`, which are in order, that begin with `prefix`.
fn below<'a>(prefix: &str, names: &'a [String]) -> &'a [String] {
    let start = names.partition_point(|name| name.as_str() < prefix);
    let rest = names.get(start..).unwrap_or_default();
    let end = rest.partition_point(|name| name.starts_with(prefix));
    rest.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Key, KeyContent};

    fn names(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{prefix}{number:05}")).collect()
    }

    fn refs(names: &[String]) -> Vec<&str> {
        names.iter().map(String::as_str).collect()
    }

    #[test]
    fn few_keys_and_those_in_no_folder_are_looked_for_one_by_one() {
        assert_eq!(looks(&[]), []);
        let few = ["a/x", "b/y", "b/z", "c"];
        assert_eq!(looks(&few), [Look::Each(&few[..1]), Look::Each(&few[1..3]), Look::Each(&few[3..])]);
        let (bare, limit) = (names("key-", 1000), names("a/", FEW));
        assert_eq!(looks(&refs(&bare)), [Look::Each(&refs(&bare))], "it would list every key there is");
        assert_eq!(looks(&refs(&limit)), [Look::Each(&refs(&limit))]);
    }

    #[test]
    fn many_keys_are_looked_for_below_the_folder_that_they_share() {
        let many = [names("app/config/a", 40), names("app/config/b/", 40)].concat();
        assert_eq!(looks(&refs(&many)), [Look::Below("app/config/", &refs(&many))]);
        let apart = [names("app/x/", 40), names("app/y/", 40), names("app2/ü/", 65)].concat();
        let keys = refs(&apart);
        assert_eq!(looks(&keys), [Look::Below("app/", &keys[..80]), Look::Below("app2/ü/", &keys[80..])]);
    }

    #[test]
    fn a_tree_of_which_much_is_wanted_is_read_as_a_whole() {
        let there = names("a/", 100);
        let every_eighth: Vec<&str> = there.iter().step_by(8).map(String::as_str).collect();
        assert_eq!(reads("a/", &there, &every_eighth), [Read::Tree("a/")]);
        assert_eq!(reads("a/", &there, &[]), []);
    }

    #[test]
    fn a_large_tree_that_is_not_wanted_is_not_read() {
        let mut there = [names("a/config/", 20), names("a/logs/", 100_000)].concat();
        there.extend(["a/", "a/config", "a/config/", "a/config-2"].map(ToOwned::to_owned));
        there.sort();
        let mut keys = refs(&names("a/config/", 20)).iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        keys.extend(["a/", "a/config", "a/config/", "a/logs/00007"].map(ToOwned::to_owned));
        keys.sort();
        let keys = refs(&keys);
        let mut found = reads("a/", &there, &keys);
        found.sort_by_key(|read| format!("{read:?}"));
        let each = [Read::Key("a/"), Read::Key("a/config"), Read::Key("a/logs/00007")];
        assert_eq!(found, [&each[..], &[Read::Tree("a/config/")]].concat());
    }

    #[test]
    fn a_folders_own_key_in_a_large_folder_is_read_by_itself() {
        let there = [vec!["a/b/".to_owned()], names("a/b/", 1000)].concat();
        assert_eq!(reads("a/", &there, &["a/b/", "a/b/00001"]), [Read::Key("a/b/"), Read::Key("a/b/00001")]);
    }

    #[test]
    fn only_keys_that_differ_change_and_one_that_is_held_stops_all() {
        let observed = |name: &str, value: &[u8], holder: Option<&str>| {
            let key = Key { key: name.to_owned(), value: value.to_vec(), flags: 0 };
            ObservedKey { key, modify_index: 5, holder: holder.map(ToOwned::to_owned) }
        };
        let wish = |name: &str, value: &[u8]| {
            (name.to_owned(), DesiredKey::Present(KeyContent { value: Some(value.to_vec()), flags: Some(0) }))
        };
        let there = [
            observed("differs", b"1", None),
            observed("held", b"1", Some("them")),
            observed("other", b"1", None),
            observed("same", b"1", Some("them")),
        ];
        let plan_keys = |desired: &[(String, DesiredKey)], observed: &[ObservedKey], policy: &KeyPolicy| {
            let mut plan = KeysPlan::new(desired, policy);
            observed.iter().rev().for_each(|key| plan.see(key.clone()));
            plan.finish()
        };
        let wishes = [wish("differs", b"2"), wish("new", b"3"), wish("same", b"1")];
        let changes = plan_keys(&wishes, &there, &KeyPolicy::default()).unwrap();
        assert!(
            matches!(&changes[..], [KeyChange::Update { after: a, .. }, KeyChange::Create { after: b }]
                if a.key == "differs" && b.key == "new"),
            "{changes:?}"
        );
        let held = [wish("held", b"2"), wish("new", b"3")];
        let refused = plan_keys(&held, &there, &KeyPolicy::default());
        assert_eq!(refused, Err(UnsafeKey::Held { key: "held".to_owned(), holder: "them".to_owned() }));
        let force = KeyPolicy { force: true, ..KeyPolicy::default() };
        assert_eq!(plan_keys(&held, &there, &force).unwrap().len(), 2);
    }
}
