//! The document of the API: OpenAPI 3.1, made from the routes themselves and the types of their bodies.
//! <https://spec.openapis.org/oas/v3.1.1.html>

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, Info, License, OpenApi, OpenApiBuilder};

use super::admin::Operator;
use super::answers::NotAnOperator;
use crate::twilio::signature::SIGNATURE_HEADER;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let document = super::routes().into_openapi();
    document.to_pretty_json().expect("these types have string keys and no other way to fail")
});

/// The document: JSON.
pub fn document() -> &'static str {
    &DOCUMENT
}

/// What is said of the API as a whole; the routes are put into it.
pub(super) fn frame() -> OpenApi {
    let mut info = Info::new("ARIA bridge", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "What a bridge between Twilio Media Streams and OpenAI Realtime answers: to operators and their scripts, to load balancers \
         and Prometheus, and to Twilio."
            .into(),
    );
    info.license = Some(License::new(env!("CARGO_PKG_LICENSE")));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("`ARIA_ADMIN_TOKEN`. Without one configured only requests made on the bridge's own machine are answered"))
        .build();
    let signature = ApiKeyValue::with_description(
        SIGNATURE_HEADER,
        "Twilio's signature: <https://www.twilio.com/docs/usage/security#validating-requests>",
    );
    let mut components = Components::new();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme("twilio", SecurityScheme::ApiKey(ApiKey::Header(signature)));
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// This document.
#[utoipa::path(
    get,
    operation_id = "show_openapi",
    path = "/api/openapi.json",
    tag = "operation",
    security(("bearer" = [])),
    responses((status = 200, content_type = "application/json", body = serde_json::Value, description = "OpenAPI 3.1"), NotAnOperator)
)]
pub(super) async fn show(_: Operator) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document())
}
