//! The description of the API (OpenAPI 3.1) at `/openapi.json`, and a page to read and try it at `/docs`.

use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{
    AppState, activation, drops, events, health, latency, lcores, metrics, olt, pools, ports, sessions,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sluice",
        description = "The management API of a Sluice broadband network gateway. Errors are RFC 9457 problem documents that name the field. On TCP a bearer token is needed; on the Unix socket its file permissions decide."
    ),
    paths(
        activation::activate,
        activation::suspend,
        activation::resume,
        activation::terminate,
        sessions::list,
        sessions::one,
        pools::list,
        ports::list,
        drops::drops,
        drops::punts,
        latency::latency,
        lcores::list,
        events::follow,
        olt::event,
        health::health,
        health::ready,
        metrics::metrics,
    ),
    tags(
        (name = "subscribers", description = "What operators do to subscribers"),
        (name = "sessions", description = "Who is here and with which address"),
        (name = "data plane", description = "What the workers counted"),
        (name = "events", description = "What happens"),
        (name = "health", description = "For probes and scrapers"),
    ),
    security(("bearer" = [])),
    modifiers(&Bearer),
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The description.
pub fn document() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// The description as it is kept in `docs/openapi.json`.
pub fn text() -> Result<String, serde_json::Error> {
    document().to_pretty_json().map(|text| text + "\n")
}

pub(super) fn routes() -> Router<AppState> {
    let page = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    Router::new()
        .route("/openapi.json", get(|| async { Json(document()) }))
        .merge(page)
}
