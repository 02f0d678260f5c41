//! Encap: the packet gets the link header of its subscriber's line, and one hop less to live.
//!
//! Destination MAC address and tags are the row's, source address and outer TPID the port's; the inner TPID is 0x8100. Priorities are
//! 0. A row whose port is no access port, or whose tags the port cannot send, is `corrupt_table`.

use shm_bridge::DropReason;
use shm_bridge::session::{RowCells, mac_from_bits};
use shm_bridge::sides::Tables;
use zerocopy::byteorder::network_endian::U16;

use crate::burst::{Burst, Lane};
use crate::context::Context;
use crate::line;
use crate::ports::{Access, Port, Ports, Tagging};
use crate::wire::ethernet::{self, Ethernet};
use crate::wire::link::{DoubleTagged, Head, SingleTagged, Untagged};
use crate::wire::vlan::{self, Tag};

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
    write(lane, row, port, access).ok_or(DropReason::NoHeadroom)
}

/// Writes the link header at the frame's new start. `None` where the frame is shorter than its headers, which the parser has
/// seen to.
#[inline(always)]
fn write(lane: &mut Lane<'_>, row: &RowCells, port: &Port, access: &Access) -> Option<()> {
    let ethernet = |ethertype| Ethernet {
        destination: mac_from_bits(row.mac_bits()),
        source: port.mac,
        ethertype: U16::new(ethertype),
    };
    let (s_vlan, c_vlan, _) = row.tags_and_mtu();
    let ethertype = U16::new(ethernet::IPV4);
    let ip = match access.tagging {
        Tagging::QinQ => {
            let head: &mut Head<DoubleTagged> = lane.frame.header_mut(0)?;
            head.link = DoubleTagged {
                ethernet: ethernet(access.outer_tpid_tx),
                outer_tci: U16::new(s_vlan),
                inner: Tag::new(vlan::C_TAG, c_vlan),
                ethertype,
            };
            &mut head.ip
        }
        Tagging::Single => {
            let head: &mut Head<SingleTagged> = lane.frame.header_mut(0)?;
            head.link = SingleTagged {
                ethernet: ethernet(access.outer_tpid_tx),
                tci: U16::new(c_vlan),
                ethertype,
            };
            &mut head.ip
        }
        Tagging::Untagged => {
            let head: &mut Head<Untagged> = lane.frame.header_mut(0)?;
            head.link.ethernet = ethernet(ethernet::IPV4);
            &mut head.ip
        }
    };
    ip.decrement_ttl();
    Some(())
}
