//! A picture of delay against concealment.

use std::fmt::Write as _;

/// A buffer's figures on each profile, in one order for all: added delay, ms, and concealed, %.
pub struct Series {
    pub name: &'static str,
    pub colour: &'static str,
    pub points: Vec<(f64, f64)>,
}

const PANEL: (f64, f64) = (250.0, 170.0);
const MARGIN: f64 = 34.0;
const COLUMNS: usize = 4;

/// One panel a profile: mean added delay to the right, concealed upwards, both from zero; lower left is better.
pub fn picture(profiles: &[&str], series: &[Series]) -> String {
    let rows = profiles.len().div_ceil(COLUMNS);
    let (width, height) = (PANEL.0 * COLUMNS as f64, PANEL.1 * rows as f64 + 40.0);
    let mut svg = String::new();
    let mut put = |text: std::fmt::Arguments<'_>| svg.write_fmt(text).expect("a string takes all");
    put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"10\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    ));
    for (i, one) in series.iter().enumerate() {
        let x = 20.0 + 150.0 * i as f64;
        put(format_args!(
            "<circle cx=\"{x}\" cy=\"16\" r=\"5\" fill=\"{}\"/><text x=\"{}\" y=\"20\" font-size=\"12\">{}</text>\n",
            one.colour,
            x + 9.0,
            one.name
        ));
    }
    for (i, profile) in profiles.iter().enumerate() {
        let (left, top) = (PANEL.0 * (i % COLUMNS) as f64 + MARGIN, PANEL.1 * (i / COLUMNS) as f64 + 58.0);
        let (w, h) = (PANEL.0 - MARGIN - 22.0, PANEL.1 - 56.0);
        let most = |of: fn(&(f64, f64)) -> f64| {
            series.iter().map(|s| of(&s.points[i])).fold(0.0_f64, f64::max) * 1.1
        };
        let (x_max, y_max) = (most(|p| p.0).max(5.0), most(|p| p.1).max(0.1));
        put(format_args!(
            "<text x=\"{left}\" y=\"{}\" font-size=\"12\" font-weight=\"bold\">{profile}</text>\n\
             <path d=\"M{left} {top}v{h}h{w}\" fill=\"none\" stroke=\"#888\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{x_max:.0} ms</text>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{y_max:.1}</text>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">%</text>\n",
            top - 6.0,
            left + w,
            top + h + 16.0,
            left - 3.0,
            top + 6.0,
            left - 3.0,
            top + 18.0,
        ));
        for (n, one) in series.iter().enumerate() {
            let (x, y) = one.points[i];
            // Smaller on top of larger, so that none is hidden by its equal.
            let r = 6.0 - 0.8 * n as f64;
            put(format_args!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{r:.1}\" fill=\"{}\" fill-opacity=\".85\">\
                 <title>{} {profile}: {x:.1} ms, {y:.3} %</title></circle>\n",
                left + x / x_max * w,
                top + h - y / y_max * h,
                one.colour,
                one.name,
            ));
        }
    }
    put(format_args!("</svg>\n"));
    svg
}
