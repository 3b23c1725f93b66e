//! YAML as a tree that knows where each of its nodes stands.
//!
//! The tree is built from the parser's own events, not through serde: a plain `off` is to be told from a quoted one,
//! every duplicate key is to be reported and not the first alone, and places are to be had at the price of reading.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::scalar::Scalar;

/// The most nodes of one file, what aliases repeat included: 100,000 objects have some two million. A node takes some
/// 70 bytes.
const MAX_NODES: usize = 5_000_000;
/// How deep nodes may nest, what aliases bring included.
const MAX_DEPTH: usize = 64;
/// How many entries a map has room for from its beginning: many objects are a name and a node, or a key and its value.
const ROOM: usize = 2;

/// A place in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// How far from the text's start it begins, in bytes.
    pub start: u32,
    /// How long it is, in characters.
    pub length: u32,
}

/// A node, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node<'t> {
    pub span: Span,
    pub kind: Kind<'t>,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind<'t> {
    /// A scalar; `plain` where nothing marks it as a text.
    Scalar { text: Cow<'t, str>, plain: bool },
    /// A list.
    List(Vec<Node<'t>>),
    /// A map, in the order of the text. Each key is there once.
    Map(Vec<(Node<'t>, Node<'t>)>),
}

/// What the parser, or this module, found wrong.
#[derive(Debug)]
pub(super) struct Wrong {
    pub span: Span,
    pub message: String,
    pub hint: Option<String>,
}

impl Wrong {
    pub fn new(span: Span, message: String, hint: String) -> Self {
        Self { span, message, hint: Some(hint) }
    }
}

impl Span {
    fn of(span: &granit_parser::Span) -> Self {
        let length = span.end.index().saturating_sub(span.start.index());
        Self { length: u32::try_from(length).unwrap_or(u32::MAX), ..Self::at(&span.start) }
    }

    fn at(marker: &Marker) -> Self {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            line: number(marker.line()),
            column: number(marker.col()).saturating_add(1),
            start: number(marker.byte_offset().unwrap_or_default()),
            length: 1,
        }
    }
}

impl<'t> Node<'t> {
    /// What it is, if it is a scalar.
    pub fn scalar(&self) -> Option<Scalar> {
        match &self.kind {
            Kind::Scalar { text, plain: true } => Some(Scalar::plain(text)),
            Kind::Scalar { .. } => Some(Scalar::Text),
            _ => None,
        }
    }

    /// A scalar as it is written.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The entries of a map; none of anything else.
    pub fn entries(&self) -> &[(Self, Self)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The entry of a map.
    pub fn entry(&self, key: &str) -> Option<&(Self, Self)> {
        self.entries().iter().find(|(name, _)| name.text() == Some(key))
    }

    /// The value of a map's entry.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// It with the last entry alone of each key.
    pub fn with_each_key_once(&self) -> Self {
        let kind = match &self.kind {
            Kind::List(items) => Kind::List(items.iter().map(Self::with_each_key_once).collect()),
            Kind::Map(entries) => {
                let mut seen = HashSet::new();
                let last = entries.iter().rev().filter(|(key, _)| seen.insert(key.text()));
                Kind::Map(last.map(|(key, value)| (key.clone(), value.with_each_key_once())).collect())
            }
            scalar @ Kind::Scalar { .. } => scalar.clone(),
        };
        Self { span: self.span, kind }
    }

    /// How many nodes it has, itself included, and how deep they nest.
    fn size(&self) -> (usize, usize) {
        let add = |(count, depth): (usize, usize), (more, deep): (usize, usize)| (count + more, depth.max(deep + 1));
        match &self.kind {
            Kind::Scalar { .. } => (1, 1),
            Kind::List(items) => items.iter().map(Self::size).fold((1, 1), add),
            Kind::Map(entries) => entries.iter().flat_map(|(key, value)| [key.size(), value.size()]).fold((1, 1), add),
        }
    }
}

/// The documents of `text`, and what is wrong with them as YAML. After a fault it goes on with the next document.
pub(super) fn documents(text: &str) -> (Vec<Node<'_>>, Vec<Wrong>) {
    let options = granit_parser::options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder::default();
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, span)) => {
                let span = Span::of(&span);
                if builder.event(event, span).is_none() {
                    builder.wrong(span, "the document repeats or nests too much".to_owned(), Some(LIMITS.to_owned()));
                    break;
                }
            }
            Err(error) => {
                let hint = error.kind().to_string().contains("tab").then(|| "indent with spaces".to_owned());
                builder.wrong(Span::at(error.marker()), format!("not YAML: {}", error.kind()), hint);
                builder.stack.clear();
                builder.document = None;
                if !parser.proceed_next_document().unwrap_or(false) {
                    break;
                }
            }
        }
    }
    (builder.documents, builder.wrong)
}

const LIMITS: &str = "a file has 5,000,000 nodes at most, those that aliases (*name) repeat included, nested 64 deep";

/// Whether nothing is to be settled in a map: it has few keys, all of them texts, none of them twice, and no merge key.
/// Nearly all maps are so, and there may be very many.
fn is_plain(entries: &[(Node<'_>, Node<'_>)]) -> bool {
    const FEW: usize = 8;
    let keys = || entries.iter().map(|(key, _)| key.text());
    let is_new = |(place, key): (usize, Option<&str>)| {
        key.is_some_and(|key| key != "<<") && !keys().take(place).any(|before| before == key)
    };
    entries.len() <= FEW && keys().enumerate().all(is_new)
}

/// Puts events together.
#[derive(Default)]
struct Builder<'t> {
    documents: Vec<Node<'t>>,
    wrong: Vec<Wrong>,
    document: Option<Node<'t>>,
    stack: Vec<Open<'t>>,
    /// What anchors stand for, and its size.
    anchors: HashMap<usize, (Node<'t>, (usize, usize))>,
    nodes: usize,
}

/// A list or a map whose end has not come.
struct Open<'t> {
    span: Span,
    anchor: usize,
    kind: Kind<'t>,
    /// A map's key whose value has not come.
    key: Option<Node<'t>>,
}

impl<'t> Builder<'t> {
    fn wrong(&mut self, span: Span, message: String, hint: Option<String>) {
        self.wrong.push(Wrong { span, message, hint });
    }

    /// Takes one event. `None` where that is too much.
    fn event(&mut self, event: Event<'t>, span: Span) -> Option<()> {
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.document = Some(Node { span, kind: Kind::Scalar { text: Cow::Borrowed(""), plain: true } });
            }
            Event::DocumentEnd => self.documents.extend(self.document.take()),
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag = self.tag(tag.as_deref(), "str", span);
                let plain = style == ScalarStyle::Plain && !text_tag;
                return self.add(Node { span, kind: Kind::Scalar { text, plain } }, anchor);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), "seq", span);
                self.stack.push(Open { span, anchor, kind: Kind::List(Vec::new()), key: None });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), "map", span);
                self.stack.push(Open { span, anchor, kind: Kind::Map(Vec::with_capacity(ROOM)), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { span, anchor, kind, .. }) = self.stack.pop() {
                    let kind = match kind {
                        Kind::Map(entries) => Kind::Map(self.settle(entries)),
                        other => other,
                    };
                    return self.add(Node { span, kind }, anchor);
                }
            }
            Event::Alias(anchor) => {
                let Some((mut node, size)) = self.anchors.get(&anchor).cloned() else {
                    self.wrong(span, "this alias stands within what it stands for".to_owned(), None);
                    return self.add(Node { span, kind: Kind::Map(Vec::new()) }, 0);
                };
                self.allow(size)?;
                node.span = span;
                return self.add(node, 0);
            }
            _ => {}
        }
        Some(())
    }

    /// Whether a tag says that its node is of this kind. No other tag means anything here.
    fn tag(&mut self, tag: Option<&Tag>, kind: &str, span: Span) -> bool {
        let Some(tag) = tag else { return false };
        let fits = tag.is_yaml_core_schema_tag(kind);
        if !fits {
            let hint = "leave it out; a text stands in quotes".to_owned();
            self.wrong(span, format!("the tag {} means nothing here", tag.original()), Some(hint));
        }
        fits
    }

    /// `None` where nodes of this size are more than there may be at this place.
    fn allow(&mut self, (count, depth): (usize, usize)) -> Option<()> {
        self.nodes += count;
        (self.nodes <= MAX_NODES && self.stack.len() + depth <= MAX_DEPTH).then_some(())
    }

    /// Adds a node to what is open.
    fn add(&mut self, node: Node<'t>, anchor: usize) -> Option<()> {
        self.allow((1, 1))?;
        if anchor > 0 {
            let size = node.size();
            self.allow(size)?; // the copy
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.stack.last_mut() {
            None => self.document = Some(node),
            Some(Open { kind: Kind::Map(entries), key, .. }) => match key.take() {
                None => *key = Some(node),
                Some(name) => entries.push((name, node)),
            },
            Some(Open { kind: Kind::List(items), .. }) => items.push(node),
            Some(Open { kind: Kind::Scalar { .. }, .. }) => {}
        }
        Some(())
    }

    /// Checks the keys of a map, and brings in what its merge keys (`<<`) name.
    fn settle(&mut self, entries: Vec<(Node<'t>, Node<'t>)>) -> Vec<(Node<'t>, Node<'t>)> {
        if is_plain(&entries) {
            return entries;
        }
        let mut merged = Vec::new();
        let mut kept: Vec<(Node<'t>, Node<'t>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            match &key.kind {
                Kind::Scalar { text, plain: true } if text == "<<" => merged.push(value),
                Kind::Scalar { .. } => kept.push((key, value)),
                _ => self.wrong(key.span, "a map or a list can't be a key here".to_owned(), None),
            }
        }
        // Sorted, so that maps of any size are looked through in no time, and without copies of their keys.
        let mut keys: Vec<&Node<'t>> = kept.iter().map(|(key, _)| key).collect();
        keys.sort_by_key(|key| (key.text(), key.span.start));
        for (first, second) in keys.iter().zip(keys.iter().skip(1)) {
            if first.text() == second.text() {
                let message =
                    format!("{:?} is here twice: on line {} too", second.text().unwrap_or_default(), first.span.line);
                self.wrong.push(Wrong { span: second.span, message, hint: Some("take one of them away".to_owned()) });
            }
        }
        if !merged.is_empty() {
            self.merge(&mut kept, merged);
        }
        kept
    }

    /// Adds the entries of the maps in `merged` that are not there: what is written out counts, then the first map.
    fn merge(&mut self, entries: &mut Vec<(Node<'t>, Node<'t>)>, merged: Vec<Node<'t>>) {
        let mut names: HashSet<String> = entries.iter().filter_map(|(key, _)| key.text().map(str::to_owned)).collect();
        for value in merged {
            let span = value.span;
            let sources = if let Kind::List(items) = value.kind { items } else { vec![value] };
            for source in sources {
                let Kind::Map(more) = source.kind else {
                    self.wrong(span, "`<<` brings in maps only".to_owned(), None);
                    continue;
                };
                let mut new = |(key, _): &(Node<'t>, Node<'t>)| names.insert(key.text().unwrap_or_default().to_owned());
                entries.extend(more.into_iter().filter(&mut new));
            }
        }
    }
}
