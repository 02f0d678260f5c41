//! Encap: the packet gets the link header of its subscriber's line, and one hop less to live.
//!
//! Destination MAC address and tags are the row's, source address and outer TPID the port's; the inner TPID is 0x8100. Priorities are
//! 0. A row whose port is no access port, or whose tags the port cannot send, is `corrupt_table`.

use shm_bridge::DropReason;
use shm_bridge::session::mac_from_bits;
use shm_bridge::sides::Tables;

use crate::burst::{Burst, Lane};
use crate::context::Context;
use crate::encapsulation::LineHeader;
use crate::line;
use crate::ports::Ports;
use crate::wire::ethernet;
use crate::wire::ipv4::Ipv4;

pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    for lane in burst.live() {
        if let Err(reason) = encap(lane, &context.tables, &context.ports) {
            lane.drop(reason, &mut context.counts);
        }
    }
}

#[inline(always)]
fn encap(lane: &mut Lane<'_>, tables: &Tables, ports: &Ports) -> Result<(), DropReason> {
    let session = lane.meta.session.ok_or(DropReason::CorruptTable)?;
    let row = line::row(tables, session)?;
    let (port, access) = u8::try_from(row.port())
        .ok()
        .and_then(|index| ports.get(index))
        .and_then(|port| Some((port, port.access()?)))
        .ok_or(DropReason::CorruptTable)?;
    let (s_vlan, c_vlan, _) = row.tags_and_mtu();
    if !access.fits(s_vlan, c_vlan) {
        return Err(DropReason::CorruptTable);
    }
    let grown = ethernet::HEADER_BYTES + access.tags_len();
    if !lane.frame.move_start(isize::from(lane.meta.l3) - grown as isize) {
        return Err(DropReason::NoHeadroom);
    }
    lane.meta.next_port = port.index;
    let header = LineHeader {
        destination: mac_from_bits(row.mac_bits()),
        source: port.mac,
        s_vlan,
        c_vlan,
    };
    // The parser has seen that the frame holds its headers, and they only grew.
    header
        .write(&mut lane.frame, access)
        .ok_or(DropReason::NoHeadroom)?;
    let ip: &mut Ipv4 = lane.frame.header_mut(grown).ok_or(DropReason::NoHeadroom)?;
    ip.decrement_ttl();
    Ok(())
}
