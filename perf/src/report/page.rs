//! A report as one HTML page that needs nothing else: no script, no font, no style and no picture from anywhere.

mod chart;
mod course;
mod histogram;
mod markup;
mod parts;
mod scale;
mod tables;

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use markup::escape;

use super::number::{figure, maybe, plural, round};
use super::{Comparison, Goal, Report, Verdict};

const STYLE: &str = include_str!("page/style.css");

impl Report {
    /// The page, and the verdict of a baseline in it if there is one.
    pub fn page(&self, against: Option<&Comparison>) -> String {
        let title = self.title();
        let sections = [
            ("Goals", self.tiles(against)),
            ("Against the baseline", against.map(tables::comparison).unwrap_or_default()),
            ("Added delay", self.histograms()),
            ("Over the run", course::course(&self.timeline)),
            ("Delay", tables::delays(self)),
            ("Frames", tables::frames(self)),
            ("Interruptions and set-up", tables::calls(self)),
            ("What the bridge used", tables::footprint(self.bridge.as_ref())),
            ("How punctual the suite was", tables::generator(&self.generator)),
            ("Setting and machine", tables::setting(self)),
        ];
        let mut body = self.header(&title);
        for (name, html) in sections.iter().filter(|(_, html)| !html.is_empty()) {
            let _ = writeln!(body, "<section>\n<h2>{name}</h2>\n{html}</section>");
        }
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
            title = escape(&title),
        )
    }

    fn title(&self) -> String {
        let setting = &self.setting;
        format!("{}, {}, network {}", plural(setting.calls as u64, "call"), setting.codec, setting.network)
    }

    fn header(&self, title: &str) -> String {
        let (machine, calls) = (&self.machine, &self.calls);
        let began = UNIX_EPOCH.checked_add(Duration::from_secs(self.began_unix));
        // The formatter panics beyond the year 9999, which only a broken file has.
        let began = began.filter(|_| self.began_unix < 253_402_300_800).map(httpdate::fmt_http_date);
        let mut out = format!(
            "<header>\n<p class=\"over\">ARIA load</p>\n<h1>{}</h1>\n<p>{}, measured for {} s on {} ({}).</p>\n",
            escape(title),
            began.as_deref().unwrap_or("At an unknown time"),
            self.setting.seconds,
            escape(&machine.cpu),
            plural(machine.cores as u64, "core"),
        );
        let number = |text: String, good: bool| {
            format!("<strong{}>{text}</strong>", if good { "" } else { " class=\"bad\"" })
        };
        let _ = writeln!(
            out,
            "<p class=\"calls\">{} begun, {} held to the end, {} failed, {} breaches of Twilio's protocol.</p>",
            number(plural(calls.begun as u64, "call"), true),
            number(calls.held.to_string(), calls.held == calls.begun),
            number(calls.failed.to_string(), calls.failed == 0),
            number(calls.violations.to_string(), calls.violations == 0)
        );
        for doubt in self.doubts() {
            let doubt = escape(&doubt.to_string());
            let _ = writeln!(
                out,
                "<p class=\"warning\"><strong>Doubtful:</strong> {doubt}. A bad figure may not be the bridge's.</p>"
            );
        }
        out + "</header>\n"
    }

    /// The goals, each a tile.
    fn tiles(&self, against: Option<&Comparison>) -> String {
        let tile = |Goal { key, name, ours, limit, unit }: &Goal, met: Option<bool>| {
            let (style, sign, word) = match met {
                Some(true) => ("good", "✓", "met"),
                Some(false) => ("bad", "✗", "missed"),
                None => ("", "–", "not measured"),
            };
            let baseline = against.and_then(|c| c.line(key)).and_then(|line| {
                let range = line.range?;
                let (low, high) = (figure(range.min), figure(range.max));
                Some(format!("<p class=\"beside\">baseline {low} – {high}: {}</p>", word_of(line.verdict)))
            });
            format!(
                "<li class=\"tile {style}\"><p class=\"what\">{name}</p>\
                 <p class=\"value\">{} <small>{unit}</small></p>\
                 <p class=\"goal\"><span aria-hidden=\"true\">{sign}</span> {word} (≤ {} {unit})</p>{}</li>\n",
                maybe(*ours),
                round(*limit),
                baseline.unwrap_or_default(),
            )
        };
        let tiles: String = self.goals().iter().map(|goal| tile(goal, goal.met())).collect();
        format!("<ul class=\"tiles\">\n{tiles}</ul>\n")
    }

    fn histograms(&self) -> String {
        format!(
            "<p class=\"note\">What the bridge and the machine add: without the look-ahead of the codecs, without what the simulated \
             network delayed and without what the jitter buffer waits on purpose.</p>\n{}",
            histogram::histograms(&self.up, &self.down)
        )
    }
}

/// A verdict in the midst of a sentence.
fn word_of(verdict: Verdict) -> String {
    verdict.to_string().to_lowercase()
}
