//! Text made safe for the page, and its tables.

use std::fmt::Write;

/// `text` with everything that could be markup written as a reference. Control characters, which neither HTML nor XML may hold, are
/// replaced.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A table whose first column names its rows. Every text is escaped here.
pub(super) struct Table {
    caption: String,
    head: String,
    body: String,
}

impl Table {
    /// `columns` name what follows the first one; its name is `first`.
    pub fn new(caption: &str, first: &str, columns: &[&str]) -> Self {
        let mut head = format!("<th scope=\"col\">{}</th>", escape(first));
        for column in columns {
            let _ = write!(head, "<th scope=\"col\">{}</th>", escape(column));
        }
        Self { caption: escape(caption), head, body: String::new() }
    }

    /// Adds a row.
    pub fn row<C: AsRef<str>>(&mut self, name: &str, cells: impl IntoIterator<Item = C>) {
        self.marked(name, cells, "");
    }

    /// Adds a row whose style has a name.
    pub fn marked<C: AsRef<str>>(&mut self, name: &str, cells: impl IntoIterator<Item = C>, style: &str) {
        let class = if style.is_empty() { String::new() } else { format!(" class=\"{}\"", escape(style)) };
        let _ = write!(self.body, "<tr{class}><th scope=\"row\">{}</th>", escape(name));
        for cell in cells {
            let _ = write!(self.body, "<td>{}</td>", escape(cell.as_ref()));
        }
        self.body.push_str("</tr>\n");
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The table in a frame that scrolls sideways where the screen is narrow, by keyboard too.
    pub fn html(&self) -> String {
        let Self { caption, head, body } = self;
        format!(
            "<div class=\"scroll\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\"><table>\
             <caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
        )
    }

    /// The same, folded away under its caption.
    pub fn folded(&self) -> String {
        format!("<details><summary>{}: table</summary>\n{}</details>\n", self.caption, self.html())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_written_becomes_markup() {
        assert_eq!(escape("<b a='\"'>&\u{1}"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;\u{fffd}");
        let mut table = Table::new("<c>", "<f>", &["<h>"]);
        table.marked("<r>", ["<d>"], "\"><x>");
        let html = table.html();
        for tag in ["<c>", "<f>", "<h>", "<r>", "<d>", "<x>"] {
            assert!(!html.contains(tag), "{tag} in {html}");
        }
    }
}
