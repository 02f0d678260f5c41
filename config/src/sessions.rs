//! `[sessions]`: what subscribers get before AAA says otherwise, and what happens between them.

use crate::names::{GardenName, PoolName};
use crate::pool::Pool;
use crate::reader::Section;
use crate::value::Choice;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionsConfig {
    /// The garden of the states `wgar` and `activating`.
    pub unactivated_garden: GardenName,
    /// The garden of the state `suspended`.
    pub suspended_garden: GardenName,
    /// The pool of whoever AAA does not know.
    pub unknown_pool: PoolName,
    /// The pool a suspended subscriber's next address comes from.
    pub suspended_pool: PoolName,
    pub subscriber_to_subscriber: SubscriberToSubscriber,
    /// A session without packets for this long ends; `None` is never.
    pub idle_timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubscriberToSubscriber {
    /// Through the gateway, under both subscribers' gardens and policers.
    Routed,
    /// Dropped under a reason of its own.
    Dropped,
}

impl SessionsConfig {
    pub(crate) const UNACTIVATED: &'static str = "unactivated";
    pub(crate) const SUSPENDED: &'static str = "suspended";
    const POOL: &'static str = "wgar";

    /// `None` when it remains open which pool strangers get.
    pub(crate) fn read(section: &Section<'_>, pools: &[Pool]) -> Option<SessionsConfig> {
        let garden = |key, default: &str| section.get(key).or_else(|| GardenName::new(default).ok());
        let unactivated_garden = garden("unactivated_garden", SessionsConfig::UNACTIVATED);
        let suspended_garden = garden("suspended_garden", SessionsConfig::SUSPENDED);
        let unknown_pool = section.get("unknown_pool").or_else(|| default_pool(pools));
        if unknown_pool.is_none() && !section.has("unknown_pool") && !pools.is_empty() {
            section.missing(
                "unknown_pool",
                "the pool of strangers: several pools exist and none is called \"wgar\"",
            );
        }
        let suspended_pool = section.get("suspended_pool").or_else(|| unknown_pool.clone());
        let subscriber_to_subscriber = section.choice("subscriber_to_subscriber");
        let idle_timeout = section
            .seconds("idle_timeout_seconds", 0..=2_592_000)
            .filter(|idle| !idle.is_zero());
        section.finish();
        Some(SessionsConfig {
            unactivated_garden: unactivated_garden?,
            suspended_garden: suspended_garden?,
            unknown_pool: unknown_pool?,
            suspended_pool: suspended_pool?,
            subscriber_to_subscriber: subscriber_to_subscriber.unwrap_or(SubscriberToSubscriber::Routed),
            idle_timeout,
        })
    }
}

/// The pool called `wgar`, or the only one there is.
fn default_pool(pools: &[Pool]) -> Option<PoolName> {
    let conventional = pools.iter().find(|pool| pool.name == SessionsConfig::POOL);
    match (conventional, pools) {
        (Some(pool), _) | (None, [pool]) => Some(pool.name.clone()),
        _ => None,
    }
}

impl Choice for SubscriberToSubscriber {
    const WORDS: &'static [(&'static str, SubscriberToSubscriber)] = &[
        ("routed", SubscriberToSubscriber::Routed),
        ("dropped", SubscriberToSubscriber::Dropped),
    ];
}
