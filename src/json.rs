//! Reading JSON: what is an object is read from an object, and never from a list of its values in their order, which serde
//! takes as well. What reads such lists would be two fifths of what reads a type.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

/// Reads a text that is one value.
pub(crate) fn read<'de, T: Deserialize<'de>>(text: &'de [u8]) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = T::deserialize(Strict(&mut json))?;
    json.end()?;
    Ok(value)
}

/// Reads a text that is one list, and gives each of its values to `take`.
pub(crate) fn read_each<'de, T: Deserialize<'de>>(text: &'de [u8], take: &mut dyn FnMut(T)) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_slice(text);
    Strict(&mut json).deserialize_seq(Each(take))?;
    json.end()
}

/// A value that is read so by serde_json's own functions.
pub(crate) struct Strictly<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Strictly<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(Strict(deserializer)).map(Self)
    }
}

struct Each<'a, T>(&'a mut dyn FnMut(T));

impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element()? {
            (self.0)(value);
        }
        Ok(())
    }
}

/// What serde hands on while it reads, so that all that is within goes the same way.
struct Strict<T>(T);

/// Methods that do the same as those of what is within, and go on this way.
macro_rules! onward {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            self.0.$method(Strict(visitor))
        })*
    };
}

/// Methods that do the same as those of what is within.
macro_rules! same {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            self.0.$method(visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Strict(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Strict(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Strict(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, Strict(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    onward! { deserialize_any deserialize_map deserialize_seq deserialize_option }

    same! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit
        deserialize_identifier deserialize_ignored_any
    }
}

/// Visits of single values, which end there.
macro_rules! visits {
    ($($method:ident: $of:ty,)*) => {
        $(fn $method<E: de::Error>(self, value: $of) -> Result<V::Value, E> {
            self.0.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(list))
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(value))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(value))
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    visits! {
        visit_bool: bool,
        visit_i64: i64,
        visit_u64: u64,
        visit_f64: f64,
        visit_str: &str,
        visit_borrowed_str: &'de str,
        visit_string: String,
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, key: K) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(key)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, value: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(Strict(value))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, value: T) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Strict(value))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: u8,
        y: Option<Box<Point>>,
    }

    #[test]
    fn an_object_is_read_from_an_object_alone_at_any_depth() {
        let inner = Some(Box::new(Point { x: 2, y: None }));
        assert_eq!(read::<Point>(br#"{"x": 1, "y": {"x": 2}}"#).unwrap(), Point { x: 1, y: inner });
        for text in [&b"[1, null]"[..], br#"{"x": 1, "y": [2, null]}"#] {
            let fault = read::<Point>(text).unwrap_err().to_string();
            assert!(fault.starts_with("invalid type: sequence, expected struct Point at line 1 column "), "{fault}");
        }
    }

    #[test]
    fn the_rest_is_read_as_serde_reads_it() {
        let text = br#" {"a": [1, -2, 3.5, "\u00e9\n", null, true, {}], "b": {"c": []}} "#;
        assert_eq!(read::<Value>(text).unwrap(), serde_json::from_slice::<Value>(text).unwrap());
        for text in [&b"{"[..], b"[1,]", b"1 2", b"", b"\"\xff\"", b"nul"] {
            let fault = |error: serde_json::Error| error.to_string();
            assert_eq!(read::<Value>(text).map_err(fault), serde_json::from_slice::<Value>(text).map_err(fault));
        }
        let mut seen = Vec::new();
        read_each(b"[1, 2]", &mut |number: u8| seen.push(number)).unwrap();
        assert_eq!(seen, [1, 2]);
        assert!(read_each(b"[1] 2", &mut |_: u8| ()).is_err());
    }
}
