//! What a plain YAML scalar is, where readers of YAML agree on it.

use serde_json::Number;

/// A scalar.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    /// Nothing: `null`, `~`, or no text at all.
    Null,
    /// A boolean.
    Flag(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text,
    /// What YAML's readers read differently, or not at all: what it might be.
    Unclear(&'static str),
}

impl Scalar {
    /// What a plain scalar (without quotes) is. YAML 1.2's core schema decides; what YAML 1.1 reads as another type is
    /// `Unclear`: Ansible and PyYAML read that.
    pub fn plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" => Self::Flag(true),
            "false" | "False" | "FALSE" => Self::Flag(false),
            "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => {
                Self::Unclear("a boolean to some readers of YAML, and a text to others")
            }
            _ => Self::number(text),
        }
    }

    fn number(text: &str) -> Self {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return Self::Text;
        }
        let all = |digits: &str, of: fn(u8) -> bool| !digits.is_empty() && digits.bytes().all(of);
        let based = |base: u32, digits: &str| match u64::from_str_radix(digits, base) {
            Ok(number) => Self::Number(number.into()),
            Err(_) => Self::Unclear("a number that is too large"),
        };
        if let Some(digits) = text.strip_prefix("0x").filter(|digits| all(digits, |b| b.is_ascii_hexdigit())) {
            return based(16, digits);
        }
        if let Some(digits) = text.strip_prefix("0o").filter(|digits| all(digits, |b| matches!(b, b'0'..=b'7'))) {
            return based(8, digits);
        }
        if all(unsigned, |b| b.is_ascii_digit()) {
            if unsigned.len() > 1 && unsigned.starts_with('0') {
                return Self::Unclear("an octal number to some readers of YAML, and a decimal one to others");
            }
            let whole = text.strip_prefix('+').unwrap_or(text);
            let number = whole.parse().map(u64::into).or_else(|_| whole.parse().map(i64::into));
            return number.map_or(Self::Unclear("a number that is too large"), Self::Number);
        }
        if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
            return Self::Unclear("no finite number");
        }
        if !unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
            return Self::Text;
        }
        match text.parse().map(Number::from_f64) {
            Ok(Some(number)) => Self::Number(number),
            Ok(None) => Self::Unclear("no finite number"),
            Err(_) => Self::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_agree_on() {
        for (text, scalar) in [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("true", Scalar::Flag(true)),
            ("0", Scalar::Number(0.into())),
            ("+8", Scalar::Number(8.into())),
            ("-8", Scalar::Number((-8).into())),
            ("0x1F", Scalar::Number(31.into())),
            ("0o17", Scalar::Number(15.into())),
            ("18446744073709551615", Scalar::Number(u64::MAX.into())),
            ("1.5", Scalar::Number(Number::from_f64(1.5).unwrap())),
            ("1e3", Scalar::Number(Number::from_f64(1000.0).unwrap())),
        ] {
            assert_eq!(Scalar::plain(text), scalar, "{text}");
        }
        for text in
            ["web", "y", "n", "10s", "127.0.0.1", "1.2.3", "-", "-a", "1-2", "0xg", ".", "e3", "8080/tcp", "inf"]
        {
            assert_eq!(Scalar::plain(text), Scalar::Text, "{text}");
        }
    }

    #[test]
    fn what_they_do_not_agree_on_is_nothing() {
        for text in ["yes", "No", "ON", "off", "0755", "-007", "18446744073709551616", "1e999", ".inf", "-.INF", ".nan"]
        {
            assert!(matches!(Scalar::plain(text), Scalar::Unclear(_)), "{text}");
        }
    }
}
