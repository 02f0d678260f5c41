//! Anti-spoof: the packet comes from the session's host, or it goes nowhere.
//!
//! The tags were compared when the session was found; here the source MAC address (`spoofed_mac`) and the source IPv4 address
//! (`spoofed_address`, or `bad_source_address` where no host can have it) must be the row's. DHCP was taken out before.

use shm_bridge::DropReason;
use shm_bridge::sides::Tables;

use crate::burst::{Burst, Meta};
use crate::context::Context;
use crate::line;
use crate::wire::ipv4;

pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    let tables = &context.tables;
    for lane in burst.live() {
        if let Err(reason) = judge(&lane.meta, tables) {
            lane.drop(reason, &mut context.counts);
        }
    }
}

#[inline(always)]
fn judge(meta: &Meta, tables: &Tables) -> Result<(), DropReason> {
    let session = meta.session.ok_or(DropReason::NoSession)?;
    let row = line::row(tables, session)?;
    if row.mac_bits() != meta.source_mac {
        return Err(DropReason::SpoofedMac);
    }
    if row.ipv4() != meta.source {
        return Err(if ipv4::is_host(meta.source) {
            DropReason::SpoofedAddress
        } else {
            DropReason::BadSourceAddress
        });
    }
    Ok(())
}
