//! The page.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use perf::report::{Baseline, Report};
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::sample::{self, nothing, report, runs};

/// Every element and attribute of a well-formed page, as (element, attribute, value).
fn attributes(page: &str) -> Vec<(String, String, String)> {
    let mut reader = Reader::from_str(page);
    let mut open: Vec<String> = Vec::new();
    let mut found = Vec::new();
    loop {
        let event = reader.read_event().expect("well-formed");
        match &event {
            Event::Start(tag) | Event::Empty(tag) => {
                let name = tag.name().as_ref().to_owned();
                for attribute in tag.attributes() {
                    let attribute = attribute.expect("a well-formed attribute, named once");
                    let key = attribute.key.as_ref().to_owned();
                    let value = attribute.value.to_string();
                    found.push((name.clone(), key, value));
                }
                if matches!(event, Event::Start(_)) {
                    open.push(name);
                }
            }
            Event::End(tag) => {
                let name = tag.name().as_ref().to_owned();
                assert_eq!(open.pop(), Some(name));
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    found
}

fn pages() -> Vec<String> {
    let baseline = Baseline::from_runs(&runs()).expect("three like runs");
    let mut worse = report();
    worse.up = sample::scaled(&worse, 5.0).up;
    worse.calls.held = 98;
    worse.bridge.as_mut().expect("the sample has one").cpu_percent_per_call = 1.2;
    worse.calls.failed = 2;
    let mut busy = report();
    busy.generator.machine_idle_percent = 4.0;
    let mut long = report();
    long.timeline =
        (0..3_600).map(|at| perf::report::Second { at, ..long.timeline[at as usize % 60].clone() }).collect();
    vec![
        report().page(None),
        report().page(Some(&baseline.compare(&report()))),
        worse.page(Some(&baseline.compare(&worse))),
        busy.page(Some(&baseline.compare(&busy))),
        nothing().page(Some(&baseline.compare(&nothing()))),
        long.page(None),
    ]
}

#[test]
fn every_page_is_well_formed_and_names_its_parts() {
    for page in pages() {
        let attributes = attributes(&page);
        let values =
            |key: &str| attributes.iter().filter(|a| a.1 == key).map(|a| a.2.clone()).collect::<Vec<_>>();
        let ids = values("id");
        let unique: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "an id twice");
        for labels in values("aria-labelledby") {
            assert!(labels.split(' ').all(|id| unique.contains(&id.to_owned())), "{labels}");
        }
        let pictures = attributes.iter().filter(|a| a.1 == "role" && a.2 == "img").count();
        assert_eq!(pictures, values("aria-labelledby").len(), "a picture without words");
        assert!(page.contains(sample::MARK), "sample data is marked");
        assert!(!page.contains("NaN") && !page.contains("inf"), "a number that is none");
    }
}

#[test]
fn the_page_fetches_nothing() {
    for page in pages() {
        for word in ["http://", "https://", "//cdn", "url(", "@import", "<script", "<link", "<img", "<iframe"]
        {
            assert!(!page.contains(word), "{word}");
        }
        for (element, key, value) in attributes(&page) {
            assert!(
                !["src", "href", "xlink:href", "style", "srcset"].contains(&key.as_str()),
                "{element} {key}={value}"
            );
            assert!(!key.starts_with("on"), "{element} {key}={value}");
        }
    }
}

#[test]
fn texts_of_the_run_are_no_markup() {
    let evil = "</style><script>alert('\"&amp;\u{0}')</script>";
    let mut report = report();
    report.machine.cpu = evil.into();
    report.machine.kernel = evil.into();
    report.setting.codec = evil.into();
    report.setting.network = evil.into();
    if let Some(bridge) = &mut report.bridge {
        bridge.threads.push((evil.into(), 1.0));
    }
    let comparison = Baseline::from_runs(&runs()).expect("three like runs").compare(&report);
    let page = report.page(Some(&comparison));
    attributes(&page);
    assert!(!page.contains("<script") && !page.contains('\u{0}'));
    assert!(page.contains("&lt;/style&gt;&lt;script&gt;"), "the text is still shown");
}

#[test]
fn the_figures_are_on_the_page() {
    let mut ours = report();
    ours.bridge.as_mut().expect("the sample has one").cpu_percent_per_call = 1.234;
    ours.up.added.p99 = 3.21;
    let baseline = Baseline::from_runs(&runs()).expect("three like runs");
    let page = ours.page(Some(&baseline.compare(&ours)));
    for part in [
        "<p class=\"value\">1.23 <small>%</small></p>",
        "missed (≤ 0.8 %)",
        "baseline 0.58 – 0.66: worse",
        "<p class=\"value\">3.21 <small>ms</small></p>",
        "<strong>100 calls</strong> begun",
        "Sun, 09 Sep 2001 01:46:40 GMT",
        "In all: <strong>worse</strong>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!report().page(None).contains("Against the baseline"));
}

/// Leaves the pages where they can be looked at.
#[test]
fn samples_can_be_looked_at() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (number, page) in pages().iter().enumerate() {
        fs::write(folder.join(format!("sample-{number}.html")), page).expect("written");
    }
    report().save(&folder.join("sample.json")).expect("written");
    let back = Report::load(&folder.join("sample.json")).expect("read");
    assert_eq!(back.page(None), pages()[0], "a stored report gives the same page");
}
