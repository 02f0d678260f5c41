//! What one lcore judges packets with: the tables it shares, and what is its own.

use shm_bridge::sides::Tables;
use sluice_config::PuntLimits;

use crate::counts::Counts;
use crate::express::Permitted;
use crate::icmp_error::{IcmpErrors, Refusal};
use crate::owner::Owners;
use crate::ports::{Port, Ports};
use crate::punt_policer::PuntPolicers;
use crate::simd::level::Level;

/// One per lcore, made at start; nothing in it allocates afterwards.
#[derive(Debug)]
pub struct Context {
    pub tables: Tables,
    pub ports: Ports,
    pub owners: Owners,
    /// Instructions that the express way may use.
    pub level: Level,
    /// What gardens permitted lately.
    pub permitted: Permitted,
    pub punts: PuntPolicers,
    pub icmp_errors: IcmpErrors,
    /// Flushed by the lcore after each burst.
    pub counts: Counts,
}

impl Context {
    pub fn new(tables: Tables, ports: Ports, owners: Owners, limits: &PuntLimits) -> Context {
        Context {
            tables,
            ports,
            owners,
            level: Level::best(),
            permitted: Permitted::default(),
            punts: PuntPolicers::new(limits),
            icmp_errors: IcmpErrors::default(),
            counts: Counts::default(),
        }
    }

    /// What is needed to refuse packets of a burst that came from `port`.
    pub fn refusal<'c>(&'c mut self, port: &'c Port, now_ns: u64) -> Refusal<'c> {
        Refusal {
            ports: &self.ports,
            errors: &mut self.icmp_errors,
            counts: &mut self.counts,
            port,
            now_ns,
        }
    }
}
