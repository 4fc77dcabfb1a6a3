//! A small tree of XML elements.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use super::Warning;

/// TwiML nests three deep; a document far deeper is an attack or a mistake.
const MAX_DEPTH: usize = 16;

/// An element with what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name as written.
    pub name: String,
    /// Its attributes in order, unescaped.
    pub attributes: Vec<(String, String)>,
    /// Elements inside it.
    pub children: Vec<Element>,
    /// All text inside it, that of inner elements included where they stand, unescaped.
    pub text: String,
    /// Whether some of the text is its own, and more than blanks.
    pub has_text: bool,
}

impl Element {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Warns of every attribute that is not in `known`.
    pub(super) fn only_attributes(&self, known: &[&str], warnings: &mut Vec<Warning>) {
        for (name, _) in
            self.attributes.iter().filter(|(n, _)| !known.contains(&n.as_str()) && !n.starts_with("xmlns"))
        {
            warnings.push(Warning::new(12_200, format!("attribute {name} of <{}>", self.name)));
        }
    }
}

/// Reads exactly one root element.
pub(super) fn parse(text: &str) -> Result<Element, String> {
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    reader.config_mut().enable_all_checks(true);
    reader.config_mut().allow_dangling_amp = false;
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        match reader.read_event().map_err(|e| e.to_string())? {
            Event::Start(start) if open.len() >= MAX_DEPTH => {
                return Err(format!("<{}> is too deep", start.name().into_inner()));
            }
            Event::Start(start) => open.push(element(&start)?),
            Event::Empty(start) => close(element(&start)?, &mut open, &mut root)?,
            Event::End(_) => {
                let done = open.pop().ok_or("an end without a start")?;
                close(done, &mut open, &mut root)?;
            }
            Event::Text(content) => append(&content.xml10_content(), &mut open)?,
            Event::CData(content) => append(&content.xml10_content(), &mut open)?,
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|e| e.to_string())?;
                let content = match character {
                    Some(c) => c.to_string(),
                    None => resolve_predefined_entity(&reference.xml10_content())
                        .ok_or_else(|| format!("unknown entity {}", reference.xml10_content()))?
                        .to_owned(),
                };
                append(&content, &mut open)?;
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::DocType(_) => return Err("a document type is not allowed".into()),
            Event::Eof if open.is_empty() => return root.ok_or_else(|| "no element".into()),
            Event::Eof => return Err("the document ends inside an element".into()),
        }
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, String> {
    let mut element = Element { name: start.name().into_inner().to_owned(), ..Element::default() };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| e.to_string())?;
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|e| e.to_string())?;
        element.attributes.push((attribute.key.into_inner().to_owned(), value.into_owned()));
    }
    Ok(element)
}

fn close(done: Element, open: &mut [Element], root: &mut Option<Element>) -> Result<(), String> {
    match open.last_mut() {
        Some(parent) => {
            parent.text.push_str(&done.text);
            parent.children.push(done);
            Ok(())
        }
        None if root.is_some() => Err("two roots".into()),
        None => {
            *root = Some(done);
            Ok(())
        }
    }
}

fn append(content: &str, open: &mut [Element]) -> Result<(), String> {
    match open.last_mut() {
        Some(parent) => {
            parent.text.push_str(content);
            parent.has_text |= !content.trim().is_empty();
        }
        None if content.trim().is_empty() => {}
        None => return Err("text outside the root".into()),
    }
    Ok(())
}
