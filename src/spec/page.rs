//! A text that is being read, and an object in it.

use serde_json::Error;

use super::check::{Name, check};
use super::shape::Shape;
use super::tree::{Node, Span, Wrong};
use super::{Fault, Text, Values};
use crate::object::At;

/// The most faults of one text that are told: more help nobody, and could be made to fill the memory.
const MOST: usize = 1_000;

/// A text, and the faults that were found in it so far.
pub(super) struct Page<'t> {
    pub text: &'t Text,
    pub values: Values<'t>,
    pub faults: Vec<Fault>,
}

impl Page<'_> {
    /// Notes a fault.
    pub fn fault(&mut self, span: Span, message: impl Into<String>, hint: Option<&str>) {
        self.wrong(vec![Wrong { span, message: message.into(), hint: hint.map(str::to_owned) }]);
    }

    /// Notes faults.
    pub fn wrong(&mut self, wrong: Vec<Wrong>) {
        let fault = |Wrong { span, message, hint }| Fault::at(self.text, span, message, hint);
        let room = (MOST + 1).saturating_sub(self.faults.len());
        self.faults.extend(wrong.into_iter().take(room).map(fault));
    }

    /// The faults.
    pub fn finish(mut self) -> Vec<Fault> {
        if self.faults.len() > MOST {
            self.faults.truncate(MOST);
            self.faults.push(Fault::of_file(
                &*self.text.name,
                format!("more than {MOST} faults: the rest is not told"),
                None,
            ));
        }
        self.faults
    }

    /// A place, for people.
    pub fn at(&self, span: Span) -> At {
        At { file: self.text.name.clone(), line: span.line.into(), column: span.column.into() }
    }

    /// Reads an object, which is called `name`. `None` where it is not of this shape, which is noted.
    pub fn parse<T>(
        &mut self,
        name: &str,
        node: &Node<'_>,
        shape: &Shape,
        of: fn(&Node<'_>) -> Result<T, Error>,
    ) -> Option<T> {
        let mut wrong = Vec::new();
        check(shape, Name::Of(name), node, &mut wrong);
        if !wrong.is_empty() {
            self.wrong(wrong);
            return None;
        }
        match parsed(node, of) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.fault(node.span, format!("{name}: {error}"), None);
                None
            }
        }
    }
}

/// What `of` makes of a node. A key that is there twice has been reported: that nothing more is said of it, the last one
/// counts.
pub(super) fn parsed<T>(node: &Node<'_>, of: fn(&Node<'_>) -> Result<T, Error>) -> Result<T, Error> {
    of(node).or_else(|_| of(&node.with_each_key_once()))
}

/// The place of a field, or of the whole object where it does not have it.
pub(super) fn place(node: &Node<'_>, field: &str) -> Span {
    node.get(field).unwrap_or(node).span
}
