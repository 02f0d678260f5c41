//! Walled garden: what a subscriber who is not active may reach, and what may reach him.
//!
//! The profile that the policy word names judges by the far end: destination and destination port upstream, source and source port
//! downstream, so return traffic follows the same rules. In state `wgar`, `activating` and `suspended` there must be a profile
//! (`garden_missing`: nothing is open by omission); an active session has none, or a restriction of its own.
//!
//! IPv4 options are not for the garden (`garden_options`). A fragment that shows no port fits only rules without ports
//! (`garden_fragment`); so does the first piece of a packet cut inside its ports (RFC 1858). Everything else that no
//! rule permits, other protocols and port 53 of a foreign resolver among it, is `garden_destination`.

use shm_bridge::garden::{Flow, Judgement};
use shm_bridge::session::RowState;
use shm_bridge::sides::Tables;
use shm_bridge::{Direction, DropReason};

use crate::burst::{Burst, Lane, Marks};
use crate::context::Context;
use crate::wire::ipv4;
use crate::wire::udp;

pub fn run(burst: &mut Burst<'_>, context: &mut Context, direction: Direction) {
    let tables = &context.tables;
    for lane in burst.live() {
        let policy = lane.meta.policy;
        let is_open = policy.garden() == 0 && policy.state() == RowState::Active;
        if !is_open && let Err(reason) = judge(lane, tables, direction) {
            lane.drop(reason, &mut context.counts);
        }
    }
}

fn judge(lane: &Lane<'_>, tables: &Tables, direction: Direction) -> Result<(), DropReason> {
    let meta = &lane.meta;
    if meta.policy.garden() == 0 {
        return Err(DropReason::GardenMissing);
    }
    if meta.marks.has(Marks::OPTIONS) {
        return Err(DropReason::GardenOptions);
    }
    let far_port = far_port(lane, direction);
    let flow = Flow {
        far_address: match direction {
            Direction::Upstream => meta.destination,
            Direction::Downstream => meta.source,
        },
        protocol: meta.protocol,
        far_port,
    };
    match tables.gardens.judge(meta.policy.garden(), &flow) {
        Judgement::Permitted => Ok(()),
        Judgement::Missing => Err(DropReason::GardenMissing),
        Judgement::Refused if meta.fragment.is_fragment() && far_port.is_none() => {
            Err(DropReason::GardenFragment)
        }
        Judgement::Refused => Err(DropReason::GardenDestination),
    }
}

/// The far end's port, where this piece of the packet shows one.
fn far_port(lane: &Lane<'_>, direction: Direction) -> Option<u16> {
    let meta = &lane.meta;
    let (l3, header_len) = (usize::from(meta.l3), usize::from(meta.header_len));
    let has_ports = matches!(meta.protocol, ipv4::TCP | ipv4::UDP)
        && !meta.fragment.is_later()
        && usize::from(meta.total_len) >= header_len + size_of::<udp::Ports>();
    if !has_ports {
        return None;
    }
    let ports: &udp::Ports = lane.frame.header(l3 + header_len)?;
    Some(match direction {
        Direction::Upstream => ports.destination.get(),
        Direction::Downstream => ports.source.get(),
    })
}
