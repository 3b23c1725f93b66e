//! A tree as serde reads it: objects are made of its nodes directly. By way of JSON each text would be copied twice more,
//! and of 100,000 objects that takes longer than to check them.

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Error;

use super::scalar::Scalar;
use super::tree::{Kind, Node};

impl<'de> IntoDeserializer<'de, Error> for &'de Node<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Node<'_> {
    fn fields(
        &'de self,
    ) -> MapDeserializer<'de, impl Iterator<Item = (BorrowedStrDeserializer<'de, Error>, &'de Self)>, Error> {
        let field =
            |(key, value): &'de (Self, Self)| (BorrowedStrDeserializer::new(key.text().unwrap_or_default()), value);
        MapDeserializer::new(self.entries().iter().map(field))
    }
}

/// What is unclear is a text: it has been reported by then.
impl<'de> Deserializer<'de> for &'de Node<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Scalar { text, .. } => match self.scalar() {
                Some(Scalar::Null) => visitor.visit_unit(),
                Some(Scalar::Flag(flag)) => visitor.visit_bool(flag),
                Some(Scalar::Number(number)) => number.deserialize_any(visitor),
                _ => visitor.visit_borrowed_str(text),
            },
            Kind::List(items) => SeqDeserializer::new(items.iter()).deserialize_any(visitor),
            Kind::Map(_) => self.fields().deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.scalar() {
            Some(Scalar::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.text() {
            Some(text) => visitor.visit_enum(BorrowedStrDeserializer::new(text)),
            None => visitor.visit_enum(MapAccessDeserializer::new(self.fields())),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}
