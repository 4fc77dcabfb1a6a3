//! The document of the API, held against the API itself.

mod support;

#[path = "openapi/document.rs"]
mod document;
#[path = "openapi/form.rs"]
mod form;
#[path = "openapi/truth.rs"]
mod truth;
