//! Reports and baselines as files.

use std::fs;
use std::path::PathBuf;

use perf::report::{Baseline, FORMAT, FileError, Report};
use serde::Serialize;
use serde_json::Value;

use crate::sample;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("plain data")
}

/// Equal but for the last bit of a number, which the parser may round to its neighbour.
fn assert_same(left: &Value, right: &Value) {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "{left} and {right}");
            a.values().zip(b.values()).for_each(|(a, b)| assert_same(a, b));
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{left} and {right}");
            a.iter().zip(b).for_each(|(a, b)| assert_same(a, b));
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            assert!((a - b).abs() <= 1e-15 * b.abs(), "{left} and {right}");
        }
        _ => assert_eq!(left, right),
    }
}

#[test]
fn a_report_comes_back_as_it_was() {
    let file = path("report.json");
    for report in [sample::report(), sample::nothing()] {
        report.save(&file).expect("written");
        assert_same(&json(&Report::load(&file).expect("read")), &json(&report));
    }
}

#[test]
fn a_baseline_comes_back_as_it_was() {
    let file = path("baseline.json");
    let baseline = Baseline::from_runs(&sample::runs()).expect("three like runs");
    baseline.save(&file).expect("written");
    assert_same(&json(&Baseline::load(&file).expect("read")), &json(&baseline));
    assert!(fs::metadata(&file).expect("there").len() < 8_000, "a baseline is small");
}

#[test]
fn another_format_is_called_that() {
    let file = path("newer.json");
    let newer = FORMAT + 1;
    // Nothing but the format is known of a newer report.
    fs::write(&file, format!("{{ \"format\": {newer}, \"news\": [] }}")).expect("written");
    let error = Report::load(&file).expect_err("refused");
    assert!(matches!(error, FileError::Format { found, known: FORMAT, .. } if found == newer), "{error}");
    let said = error.to_string();
    assert!(
        said.contains("newer.json: a report of format 2; this program reads and writes format 1"),
        "{said}"
    );
}

#[test]
fn bad_files_are_named_and_told_apart() {
    let error = Report::load(&path("not-there.json")).expect_err("refused");
    assert!(
        matches!(error, FileError::Read { .. }) && error.to_string().contains("not-there.json"),
        "{error}"
    );

    let file = path("malformed.json");
    for text in ["", "{", "[]", "{}", "{\"format\": \"one\"}", "{\"format\": 1}"] {
        fs::write(&file, text).expect("written");
        let error = Report::load(&file).expect_err("refused");
        assert!(matches!(error, FileError::Shape { .. }), "{text}: {error}");
        assert!(error.to_string().contains("malformed.json: no report: "), "{error}");
    }

    sample::report().save(&file).expect("written");
    let error = Baseline::load(&file).expect_err("a report is no baseline");
    assert!(error.to_string().contains("no baseline: missing field"), "{error}");

    let error = sample::report().save(&path("no-such-folder/report.json")).expect_err("refused");
    assert!(matches!(error, FileError::Write { .. }), "{error}");
}
