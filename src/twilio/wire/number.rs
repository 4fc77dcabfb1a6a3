//! Numbers that Twilio writes as strings and its followers as numbers.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A count or a time in ms. `None` where the text is no whole number: it then takes no part in finding gaps, which is all
/// such a number is for, and the message stays usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Number(pub(super) Option<u64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number or its digits")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number(Some(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number(u64::try_from(value).ok()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
        // Above 2^53 a float no longer tells neighbours apart.
        let whole = value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&value);
        Ok(Number(whole.then_some(value as u64)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Number, E> {
        Ok(Number(value.parse().ok()))
    }

    fn visit_unit<E: Error>(self) -> Result<Number, E> {
        Ok(Number(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_numbers_are_the_same() {
        let parse = |text: &str| serde_json::from_str::<Number>(text).unwrap().0;
        assert_eq!(parse("\"155\""), Some(155));
        assert_eq!(parse("155"), Some(155));
        assert_eq!(parse("155.0"), Some(155));
        assert_eq!(parse("\"18446744073709551615\""), Some(u64::MAX));
        for odd in ["-1", "1.5", "\"\"", "\"1e3\"", "\"-1\"", "1e300", "null", "\"18446744073709551616\""] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
