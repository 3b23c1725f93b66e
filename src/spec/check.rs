//! A tree held against the shape that it is to have: everything in which it has another one.

use std::fmt;

use serde_json::Value;

use super::scalar::Scalar;
use super::shape::{Record, Shape};
use super::tree::{Kind, Node, Span, Wrong};
use crate::duration::ConsulDuration;

/// What a node is called.
#[derive(Clone, Copy)]
pub(super) enum Name<'n> {
    /// It, or its field, is called this.
    Of(&'n str),
    /// It is an item of the list that is called this.
    Item(&'n str),
}

impl<'n> Name<'n> {
    fn item(self) -> Self {
        let (Self::Of(list) | Self::Item(list)) = self;
        Self::Item(list)
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(name) => write!(f, "{}", name.escape_debug()),
            Self::Item(list) => write!(f, "an item of {}", list.escape_debug()),
        }
    }
}

type Entries<'e, 't> = &'e [(Node<'t>, Node<'t>)];

/// Notes everything in which `node` is not of this shape.
pub(super) fn check(shape: &Shape, name: Name<'_>, node: &Node<'_>, wrong: &mut Vec<Wrong>) {
    match (shape, &node.kind) {
        (Shape::Any, Kind::List(items)) => items.iter().for_each(|item| check(shape, name.item(), item, wrong)),
        (Shape::List(inner), Kind::List(items)) => {
            items.iter().for_each(|item| check(inner, name.item(), item, wrong));
        }
        (Shape::Any, Kind::Map(entries)) => check_values(shape, entries, wrong),
        (Shape::Map(inner), Kind::Map(entries)) => check_values(inner, entries, wrong),
        (Shape::Record(record), Kind::Map(entries)) => {
            entries.iter().for_each(|(key, value)| check_field(record, name, key, value, wrong));
            check_required(record, name, node.span, entries, wrong);
        }
        (Shape::One(record), Kind::Map(entries)) => {
            entries.iter().for_each(|(key, value)| check_field(record, name, key, value, wrong));
            if entries.len() != 1 {
                let message = format!("{name} has {} fields, and is to have one", entries.len());
                wrong.push(Wrong::new(node.span, message, format!("write one of {}", record.listed())));
            }
        }
        (Shape::Either(shapes), kind) => match shapes.iter().find(|shape| is_of_kind(shape, kind)) {
            Some(fitting) => check(fitting, name, node, wrong),
            None => mismatch(shape, name, node, wrong),
        },
        (_, Kind::Scalar { text, .. }) => {
            let fits = match (shape, node.scalar().unwrap_or(Scalar::Null)) {
                (Shape::Any, scalar) => !matches!(scalar, Scalar::Unclear(_)),
                (Shape::Text, Scalar::Text) | (Shape::Flag, Scalar::Flag(_)) => true,
                (Shape::Whole { min, max }, Scalar::Number(number)) => {
                    number.as_u64().is_some_and(|number| (min..=max).contains(&&number))
                }
                (Shape::Choice(choices), Scalar::Text) => choices.iter().any(|choice| choice == text),
                (Shape::Duration, Scalar::Text | Scalar::Number(_)) => match text.parse::<ConsulDuration>() {
                    Ok(_) => true,
                    Err(error) => {
                        return wrong.push(Wrong { span: node.span, message: format!("{name}: {error}"), hint: None });
                    }
                },
                _ => false,
            };
            if !fits {
                mismatch(shape, name, node, wrong);
            }
        }
        _ => mismatch(shape, name, node, wrong),
    }
}

/// As [`check`], and gives a record with those of its fields that are sound.
pub(super) fn sound<'t>(shape: &Shape, name: Name<'_>, node: &Node<'t>, wrong: &mut Vec<Wrong>) -> Node<'t> {
    let mut sound = Vec::new();
    let (Shape::Record(record), Kind::Map(entries)) = (shape, &node.kind) else {
        check(shape, name, node, wrong);
        return Node { span: node.span, kind: Kind::Map(sound) };
    };
    for (key, value) in entries {
        let before = wrong.len();
        check_field(record, name, key, value, wrong);
        if wrong.len() == before {
            sound.push((key.clone(), value.clone()));
        }
    }
    check_required(record, name, node.span, entries, wrong);
    Node { span: node.span, kind: Kind::Map(sound) }
}

fn check_values(shape: &Shape, entries: Entries<'_, '_>, wrong: &mut Vec<Wrong>) {
    for (key, value) in entries {
        check(shape, Name::Of(key.text().unwrap_or_default()), value, wrong);
    }
}

fn check_field(record: &Record, name: Name<'_>, key: &Node<'_>, value: &Node<'_>, wrong: &mut Vec<Wrong>) {
    let field = key.text().unwrap_or_default();
    if let Some(shape) = record.field(field) {
        return check(shape, Name::Of(field), value, wrong);
    }
    let hint = match nearest(field, record.names()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("write one of {}", record.listed()),
    };
    wrong.push(Wrong::new(key.span, format!("{name} has no field {field:?}"), hint));
}

fn check_required(record: &Record, name: Name<'_>, span: Span, entries: Entries<'_, '_>, wrong: &mut Vec<Wrong>) {
    for field in &record.required {
        if !entries.iter().any(|(key, _)| key.text() == Some(field)) {
            let hint = match record.field(field) {
                Some(Shape::Whole { min, max }) if min == max => format!("write {field}: {min}"),
                shape => format!("write {field}: with {}", shape.map(Shape::wanted).unwrap_or_default()),
            };
            wrong.push(Wrong::new(span, format!("{name} has no {field}"), hint));
        }
    }
}

fn is_of_kind(shape: &Shape, kind: &Kind<'_>) -> bool {
    let of_list = matches!(shape, Shape::List(_));
    let of_map = matches!(shape, Shape::Map(_) | Shape::Record(_) | Shape::One(_));
    match kind {
        Kind::List(_) => of_list,
        Kind::Map(_) => of_map,
        Kind::Scalar { .. } => !of_list && !of_map,
    }
}

/// Notes that `node` is something else, and what to write.
fn mismatch(shape: &Shape, name: Name<'_>, node: &Node<'_>, wrong: &mut Vec<Wrong>) {
    let takes_text = |shape: &Shape| matches!(shape, Shape::Text | Shape::Any);
    let takes_text = takes_text(shape) || matches!(shape, Shape::Either(shapes) if shapes.iter().any(takes_text));
    let quoted = |text: &str| takes_text.then(|| format!("quote it: {}", Value::from(text)));
    let text = node.text().unwrap_or_default();
    let (found, hint) = match (&node.kind, node.scalar()) {
        (Kind::List(_), _) => ("a list".to_owned(), None),
        (Kind::Map(_), _) => ("a map".to_owned(), None),
        (_, Some(Scalar::Flag(_))) => (format!("{text}, which is a boolean"), quoted(text)),
        (_, Some(Scalar::Number(_))) => (format!("{text}, which is a number"), quoted(text)),
        (_, Some(Scalar::Unclear(why))) => (format!("{text}, which is {why}"), quoted(text)),
        (_, Some(Scalar::Text)) => {
            let choices = if let Shape::Choice(choices) = shape { choices.as_slice() } else { &[] };
            let near = nearest(text, choices.iter().map(String::as_str));
            (format!("{text:?}"), near.map(|near| format!("did you mean {near}?")))
        }
        (_, Some(Scalar::Null) | None) => {
            ("nothing".to_owned(), Some(format!("write {}, or leave it out", shape.wanted())))
        }
    };
    let hint = hint.unwrap_or_else(|| format!("write {}", shape.wanted()));
    wrong.push(Wrong::new(node.span, format!("{name} is {found}"), hint));
}

/// The one of `names` that somebody may have meant.
pub(super) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    /// From here on two names look alike: `nmae` and `name` have 0.93, `node` and `name` 0.70.
    const ALIKE: f64 = 0.8;
    /// No name that somebody may have meant is longer, in bytes.
    const LONGEST: usize = 256;
    if name.len() > LONGEST {
        return None;
    }
    // One slip is always alike, be it in the first letters of a short name: `kye`.
    let alike = |near: &str| match strsim::damerau_levenshtein(name, near) {
        1 if near.len() > 2 => 1.0,
        _ => strsim::jaro_winkler(name, near),
    };
    names
        .map(|near| (alike(near), near))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, near)| near)
}
