//! How a number is written, the same in the terminal and on the page.

/// Three digits that matter, no more: a third decimal below 0.1, none from 100. What is not finite is a dash.
pub(super) fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        v if !v.is_finite() => return "–".into(),
        0.0 => 0,
        v if v < 0.0995 => 3,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// A round value, without the zeros that [`figure`] keeps for columns.
pub(super) fn round(value: f64) -> String {
    let text = figure(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// A count, its thousands apart by a narrow space that does not break.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// [`figure`], or a dash for what is not known.
pub(super) fn maybe(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), figure)
}

/// Kilobytes, from ten thousand on as megabytes.
pub(super) fn memory(kb: f64) -> String {
    if kb < 10_000.0 { format!("{} kB", figure(kb)) } else { format!("{} MB", figure(kb / 1000.0)) }
}

/// A part of a whole in percent; nothing of nothing is nothing.
pub(super) fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// A word with its number: "1 call", "2 calls".
pub(super) fn plural(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_enough() {
        let cases = [
            (0.0, "0"),
            (0.0123, "0.012"),
            (0.0999, "0.10"),
            (0.314, "0.31"),
            (9.999, "10.0"),
            (31.46, "31.5"),
            (99.97, "100"),
            (1234.5, "1234"),
            (f64::NAN, "–"),
        ];
        for (value, text) in cases {
            assert_eq!(figure(value), text);
        }
        assert_eq!((memory(350.0).as_str(), memory(45_200.0).as_str()), ("350 kB", "45.2 MB"));
        assert_eq!((percent(1, 4), percent(0, 0)), (Some(25.0), None));
        assert_eq!((round(0.3).as_str(), round(2.0).as_str(), round(100.0).as_str()), ("0.3", "2", "100"));
        assert_eq!(
            grouped(0) + "," + &grouped(999) + "," + &grouped(1_234_567),
            "0,999,1\u{202f}234\u{202f}567"
        );
        assert_eq!((plural(1, "call").as_str(), plural(0, "call").as_str()), ("1 call", "0 calls"));
    }
}
