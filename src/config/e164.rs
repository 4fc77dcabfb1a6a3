//! Phone numbers, and those that nobody here ever calls.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Digits of a number, country code included. At most 15 (ITU-T E.164, 6.2.1); no country reaches a telephone with fewer than 7.
const DIGITS: RangeInclusive<usize> = 7..=15;
/// What is shown of a number, digits of its end.
const SHOWN: usize = 2;

/// Satellite phones, international networks and premium rates, where a call costs what the called one likes. A second wall behind the
/// allow-lists, not a tariff: shorter than the world's fraud, and `[tools] deny_prefixes` adds to it.
///
/// Sources: ITU-T E.164 Annex (shared codes 808, 870, 878, 881, 882, 883, 979); the national numbering plans.
const DENIED: [&str; 57] = [
    "+808", "+870", "+878", "+881", "+882", "+883", "+979", "+1900", "+3090", "+31676", "+3190", "+3290",
    "+3389", "+3470", "+3480", "+3490", "+35160", "+35170", "+35176", "+35290", "+358600", "+358700",
    "+35990", "+3690", "+370900", "+37190", "+372900", "+38560", "+38690", "+39144", "+39166", "+39178",
    "+39892", "+39895", "+39899", "+4090", "+4190", "+42090", "+421900", "+4390", "+4393", "+4470", "+4487",
    "+449", "+4590", "+46900", "+46939", "+4782", "+4870", "+49137", "+49180", "+49900", "+61190", "+64900",
    "+7809", "+81990", "+852900",
];

/// A phone number as E.164 writes it: `+`, country code, the rest. Neither `Debug` nor `Display` shows more than its end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164(String);

/// Not `+` and 7 to 15 digits of which the first is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a number such as +15551230000: +, then 7 to 15 digits, the first not 0")]
pub struct NotE164;

impl FromStr for E164 {
    type Err = NotE164;

    fn from_str(text: &str) -> Result<Self, NotE164> {
        let digits = text.strip_prefix('+').ok_or(NotE164)?;
        let good = DIGITS.contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        if good { Ok(Self(text.to_owned())) } else { Err(NotE164) }
    }
}

impl E164 {
    /// The number itself: for Twilio, never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it lies in a range that nobody here ever calls, or in one of `more` (prefixes with `+`).
    pub fn is_denied(&self, more: &[String]) -> bool {
        DENIED.iter().any(|p| self.0.starts_with(p)) || more.iter().any(|p| self.0.starts_with(p.as_str()))
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…{}", &self.0[self.0.len() - SHOWN..])
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E164({self})")
    }
}

/// Whether `text` may stand in `deny_prefixes`: `+` and 1 to 15 digits.
pub(super) fn is_prefix(text: &str) -> bool {
    text.strip_prefix('+')
        .is_some_and(|d| (1..=15).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_e164_is_a_number() {
        for good in ["+15551230000", "+4930123456", "+2901234", "+123456789012345"] {
            assert!(good.parse::<E164>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "+",
            "15551230000",
            "+05551230000",
            "+1555123000a",
            "+1 555 1230000",
            "+155512300001234567",
            "+155512",
            "sip:a@b.example",
            "tel:+15551230000",
            "+15551230000;ext=9",
            "++15551230000",
            "+１５５５１２３００００",
            "00442079460000",
            "+15551230000\n",
            "client:agent",
            "911",
        ] {
            assert!(bad.parse::<E164>().is_err(), "{bad}");
        }
    }

    #[test]
    fn its_beginning_is_never_shown() {
        let number: E164 = "+15551230042".parse().unwrap();
        assert_eq!((format!("{number}"), format!("{number:?}")), ("…42".into(), "E164(…42)".into()));
    }

    #[test]
    fn satellites_and_premium_rates_are_denied_and_their_neighbours_are_not() {
        let denied = |n: &str| n.parse::<E164>().unwrap().is_denied(&["+2521".into()]);
        for number in
            ["+88216000000", "+8707739000", "+19005551234", "+44909879000", "+447012345678", "+25212345678"]
        {
            assert!(denied(number), "{number}");
        }
        for number in
            ["+15551230000", "+442079460000", "+4930901820", "+31701234567", "+390612345678", "+25222345678"]
        {
            assert!(!denied(number), "{number}");
        }
    }

    #[test]
    fn a_table_entry_is_a_prefix() {
        assert!(DENIED.iter().all(|p| is_prefix(p)));
        assert!(!is_prefix("44") && !is_prefix("+") && !is_prefix("+44x"));
    }
}
