//! Turning a frame around: what every answer made in place begins with.

use zerocopy::byteorder::network_endian::U16;

use crate::burst::{Lane, StrippedTags};
use crate::ports::{Port, Side, Tagging};
use crate::wire::ethernet::Ethernet;
use crate::wire::vlan::{self, Tag};

/// Bytes of the two MAC addresses.
const ADDRESSES: usize = 12;

/// Puts the tags that the NIC took out back where they were: control and the sender see whole frames. `None`, and nothing
/// changed, where the buffer has no room in front.
pub fn restore_tags(lane: &mut Lane<'_>, port: &Port) -> Option<()> {
    let outer_tpid = match port.side {
        Side::Access(access) if access.tagging != Tagging::Untagged => access.outer_tpid_tx,
        _ => vlan::C_TAG,
    };
    let two;
    let one;
    let tags: &[Tag] = match lane.stripped {
        StrippedTags::None => return Some(()),
        StrippedTags::One { tci } => {
            one = [Tag::new(outer_tpid, tci)];
            &one
        }
        StrippedTags::Two { outer_tci, inner_tci } => {
            two = [Tag::new(outer_tpid, outer_tci), Tag::new(vlan::C_TAG, inner_tci)];
            &two
        }
    };
    let added = tags.len() * vlan::TAG_BYTES;
    let addresses = *lane.frame.header::<[u8; ADDRESSES]>(0)?;
    if !lane.frame.move_start(-(added as isize)) {
        return None;
    }
    *lane.frame.header_mut::<[u8; ADDRESSES]>(0)? = addresses;
    for (place, tag) in tags.iter().enumerate() {
        *lane
            .frame
            .header_mut::<Tag>(ADDRESSES + place * vlan::TAG_BYTES)? = *tag;
    }
    lane.stripped = StrippedTags::None;
    lane.meta.l3 += added as u8;
    Some(())
}

/// Makes the link header that of an answer: to the sender, from the port's address, on the same tags, the outer one with
/// the port's TPID. `None` where the buffer has no room for tags that the NIC took out.
pub fn turn_around(lane: &mut Lane<'_>, port: &Port) -> Option<()> {
    restore_tags(lane, port)?;
    let ethernet = lane.frame.header_mut::<Ethernet>(0)?;
    ethernet.destination = ethernet.source;
    ethernet.source = port.mac;
    if let Side::Access(access) = port.side
        && access.tagging != Tagging::Untagged
    {
        ethernet.ethertype = U16::new(access.outer_tpid_tx);
    }
    Some(())
}
