//! The frame that every chart has: axes, grid, and the words for those who do not see it.
//!
//! The drawing has no fixed width: places across are in percent, heights in pixels. So the same chart fills a desktop and a phone, and its
//! letters keep their size in both.

use std::fmt::Write;

use super::markup::escape;
use super::scale::Scale;

/// Room below the plot for the names of the axis, px.
const BELOW: f64 = 24.0;

/// A chart's frame. `id` names it within the page.
pub(super) struct Chart<'a> {
    pub id: &'a str,
    pub title: &'a str,
    /// What it shows, in a sentence with its main figures.
    pub description: &'a str,
    pub across: Scale,
    pub upward: Scale,
    /// What the numbers on the two axes mean.
    pub units: (&'a str, &'a str),
    /// Room above the plot, px.
    pub above: f64,
    /// Height of the plot, px.
    pub height: f64,
}

impl Chart<'_> {
    /// Place across, percent.
    pub fn x(&self, value: f64) -> f64 {
        self.across.at(value) * 100.0
    }

    /// Place from the top, px.
    pub fn y(&self, value: f64) -> f64 {
        self.above + (1.0 - self.upward.at(value)) * self.height
    }

    /// The figure with `inside` drawn in its plot, `legend` above and `after` below it.
    pub fn html(&self, legend: &str, inside: &str, after: &str) -> String {
        let Self { id, units: (unit_across, unit_upward), .. } = self;
        let (title, description) = (escape(self.title), escape(self.description));
        let bottom = self.above + self.height;
        let full = bottom + BELOW;
        let (unit_across, unit_upward) = (escape(unit_across), escape(unit_upward));
        format!(
            "<figure>\n<figcaption>{title} <span class=\"unit\">{unit_upward}</span></figcaption>\n{legend}\
             <svg class=\"chart\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" height=\"{full:.0}\">\n\
             <title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>\n\
             {grid}{inside}\n</svg>\n<p class=\"axis\">{unit_across}</p>\n{after}</figure>\n",
            grid = self.grid(),
        )
    }

    fn grid(&self) -> String {
        let mut out = String::new();
        let bottom = self.above + self.height;
        for (value, name) in self.upward.ticks() {
            let y = self.y(value);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick end\" x=\"-6\" y=\"{:.1}\">{name}</text>",
                y + 4.0
            );
        }
        for (value, name) in self.across.ticks() {
            let x = self.x(value);
            let _ = writeln!(
                out,
                "<line class=\"tickmark\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{bottom:.1}\" y2=\"{:.1}\"/>\
                 <text class=\"tick middle\" x=\"{x:.2}%\" y=\"{:.1}\">{name}</text>",
                bottom + 4.0,
                bottom + 18.0
            );
        }
        let _ = writeln!(
            out,
            "<line class=\"base\" x1=\"0\" x2=\"100%\" y1=\"{bottom:.1}\" y2=\"{bottom:.1}\"/>"
        );
        out
    }
}
