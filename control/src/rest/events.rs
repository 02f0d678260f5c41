//! The event stream: `GET /api/v1/events` as server-sent events.
//!
//! Each event has its kind as `event`, its sequence as `id` and a [`BusEvent`] as `data`. A client that comes back with `Last-Event-ID`
//! goes on where it was; what is no longer kept is told as an event `missed` with the count.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::params::Params;
use super::problem::Problem;
use super::{AppState, FOLLOWERS_MAX};
use crate::engine::BusEvent;
use crate::events::{Next, Subscription};

/// A comment this often shows middle boxes that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Follows what happens.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(
        ("Last-Event-ID" = Option<u64>, Header, description = "Sequence of the last event seen; later ones follow at once"),
        ("after" = Option<u64>, Query, description = "The same as Last-Event-ID; 0 is everything kept"),
        ("follow" = Option<bool>, Query, description = "false ends the stream after what is kept"),
    ),
    responses(
        (status = 200, description = "Server-sent events, each with a BusEvent as data", body = BusEvent, content_type = "text/event-stream"),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many follow already", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn follow(
    State(state): State<AppState>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let params = params.only(&["after", "follow"])?;
    let after = match last_event_id(&headers)? {
        Some(id) => Some(id),
        None => params.get::<u64>("after")?,
    };
    let live = params.get::<bool>("follow")?.unwrap_or(true);
    let place = state.followers.clone().try_acquire_owned().map_err(|_| {
        Problem::unavailable(format!("{FOLLOWERS_MAX} clients follow the events, no more may"))
    })?;
    let following = Following {
        subscription: match after {
            Some(sequence) => state.bus.subscribe_after(sequence),
            None => state.bus.subscribe(),
        },
        live,
        _place: place,
    };
    let events = stream::unfold(following, |mut following| async {
        let next = following.next().await?;
        Some((Ok::<Event, Infallible>(encode(next)), following))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

struct Following {
    subscription: Subscription,
    live: bool,
    _place: OwnedSemaphorePermit,
}

impl Following {
    async fn next(&mut self) -> Option<Next> {
        if self.live {
            self.subscription.next().await
        } else {
            self.subscription.try_next()
        }
    }
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    match id {
        Some(id) => Ok(Some(id)),
        None => Err(Problem::malformed("Last-Event-ID is the number of an event").at("Last-Event-ID")),
    }
}

fn encode(next: Next) -> Event {
    match next {
        Next::Event(event) => Event::default()
            .id(event.sequence.to_string())
            // A line break in a field would begin another; axum refuses it by a panic.
            .event(event.kind.replace(['\r', '\n'], " "))
            .data(serde_json::to_string(&*event).unwrap_or_default()),
        Next::Missed(count) => Event::default()
            .event("missed")
            .data(format!("{{\"missed\":{count}}}")),
        Next::Restarted => Event::default().event("restarted").data("{}"),
    }
}
