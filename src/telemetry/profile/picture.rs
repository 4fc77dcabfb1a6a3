//! Collapsed stacks as a flamegraph: an SVG that any browser shows, roots at the bottom. A click on a frame widens it, one on the
//! title shows everything again.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Size of the picture in its own units, which browsers stretch to the window: 12 letters of 7 fit in a frame of 90.
const WIDTH: f64 = 1_600.0;
const ROW: f64 = 16.0;
const LETTER: f64 = 6.6;
/// Room for the title above the frames.
const HEAD: f64 = 40.0;
/// Frames narrower than this are left out: nobody sees them, and they are most of the file.
const NARROWEST: f64 = 0.4;

/// Widens what is clicked: what is beside it goes, what is below it becomes as wide as the picture.
const SCRIPT: &str = "
const frames = [...document.querySelectorAll('g.f')], wide = WIDTH, letter = LETTER;
function show(from, width) {
  for (const g of frames) {
    const x = +g.dataset.x, w = +g.dataset.w, scale = wide / width;
    const left = Math.max(0, (x - from) * scale), right = Math.min(wide, (x + w - from) * scale);
    g.style.display = right - left > 0.4 ? '' : 'none';
    const [rect, text] = [g.querySelector('rect'), g.querySelector('text')];
    rect.setAttribute('x', left); rect.setAttribute('width', Math.max(0, right - left - 0.3));
    text.setAttribute('x', left + 3);
    const room = Math.floor((right - left - 6) / letter), name = g.dataset.n;
    text.textContent = room < 3 ? '' : name.length <= room ? name : name.slice(0, room - 1) + '…';
  }
}
for (const g of frames) g.onclick = () => show(+g.dataset.x, +g.dataset.w);
document.querySelector('#title').onclick = () => show(0, wide);
";

#[derive(Default)]
struct Frame<'a> {
    samples: u64,
    callees: BTreeMap<&'a str, Frame<'a>>,
}

impl<'a> Frame<'a> {
    fn add(&mut self, stack: impl Iterator<Item = &'a str>, samples: u64) {
        self.samples += samples;
        let mut frame = self;
        for name in stack {
            frame = frame.callees.entry(name).or_default();
            frame.samples += samples;
        }
    }

    fn depth(&self) -> usize {
        self.callees.values().map(|callee| 1 + callee.depth()).max().unwrap_or(0)
    }
}

/// Draws `stacks` (`outermost;…;innermost` and samples).
pub(super) fn draw(title: &str, stacks: &BTreeMap<String, u64>) -> String {
    let mut root = Frame::default();
    for (stack, samples) in stacks {
        root.add(stack.split(';'), *samples);
    }
    let height = HEAD + ROW * root.depth() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fcfaf5\"/>\n\
         <text id=\"title\" x=\"4\" y=\"22\" font-size=\"14\">{}</text>\n",
        escaped(title)
    );
    draw_callees(&mut svg, &root, 0.0, height - ROW, root.samples as f64);
    let script = SCRIPT.replace("WIDTH", &WIDTH.to_string()).replace("LETTER", &LETTER.to_string());
    let _ = writeln!(svg, "<script><![CDATA[{script}]]></script>\n</svg>");
    svg
}

fn draw_callees(svg: &mut String, frame: &Frame<'_>, left: f64, y: f64, all: f64) {
    let mut x = left;
    for (name, callee) in &frame.callees {
        let width = WIDTH * callee.samples as f64 / all;
        if width >= NARROWEST {
            let (name, share) = (escaped(name), 100.0 * callee.samples as f64 / all);
            let room = ((width - 6.0) / LETTER).max(0.0) as usize;
            let _ = writeln!(
                svg,
                "<g class=\"f\" data-x=\"{x:.2}\" data-w=\"{width:.2}\" data-n=\"{name}\"><title>{name}: {} samples, {share:.2} %</title>\
                 <rect x=\"{x:.2}\" y=\"{y}\" width=\"{:.2}\" height=\"{}\" fill=\"{}\"/><text x=\"{:.2}\" y=\"{}\">{}</text></g>",
                callee.samples,
                width - 0.3,
                ROW - 1.0,
                colour(&name),
                x + 3.0,
                y + 11.5,
                shortened(&name, room),
            );
            draw_callees(svg, callee, x, y - ROW, all);
        }
        x += width;
    }
}

/// The kernel red, C yellow, the bridge green, other Rust orange; inlined functions paler.
fn colour(name: &str) -> &'static str {
    if name == "[kernel]" {
        "#e0705a"
    } else if name.ends_with("_[i]") {
        "#f5e6c8"
    } else if name.contains("aria_bridge") || name.contains("pipeline::") {
        "#a9d18e"
    } else if name.contains("::") {
        "#f0b26b"
    } else {
        "#f0dc6b"
    }
}

fn shortened(name: &str, room: usize) -> &str {
    // Half an escaped sign would be no XML.
    let fits = name.len() <= room || (name.is_char_boundary(room) && !name[..room].contains('&'));
    if room >= 3 && fits { &name[..name.len().min(room)] } else { "" }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_wide_as_its_share_and_stands_on_its_caller() {
        let stacks = [("audio;run;encode", 3), ("audio;run;<decode> & \"more\"", 1)];
        let svg = draw("a & b", &stacks.map(|(stack, n)| (stack.to_owned(), n)).into());
        let row = |name: &str| svg.lines().find(|line| line.contains(&format!("data-n=\"{name}\""))).unwrap();
        assert!(row("run").contains("data-x=\"0.00\" data-w=\"1600.00\""), "{svg}");
        assert!(row("encode").contains("data-w=\"1200.00\"") && row("encode").contains("3 samples, 75.00 %"));
        assert!(row("&lt;decode&gt; &amp; &quot;more&quot;").contains("data-w=\"400.00\""), "{svg}");
        let y =
            |name: &str| row(name).split(" y=\"").nth(1).unwrap().split('"').next().unwrap().parse::<f64>();
        assert_eq!(y("run").unwrap() - y("encode").unwrap(), ROW);
        assert!(svg.contains(">a &amp; b</text>") && svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn an_idle_process_has_an_empty_picture() {
        assert!(draw("nothing", &BTreeMap::new()).contains("nothing"));
    }
}
