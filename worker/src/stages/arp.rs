//! ARP: answered here, ignored, or shown to control.
//!
//! Only lanes marked [`Marks::ARP`] are looked at, and all of them end here.
//!
//! Access side. Pools are shared subnets behind lines that cannot hear each other, so the gateway answers for everybody (RFC
//! 1027), from the port's one address. The sender must be the line's session (`unknown_line`, `arp_no_session`,
//! `session_terminated`; another MAC or IPv4 address: `arp_spoofed`). A request for an address of the session's subnet
//! is answered, but never one for the asker's own: a client that probes its new address (RFC 5227, sender 0.0.0.0) would decline it for
//! ever. Own address, other subnets, announcements and replies are `arp_ignored`.
//!
//! Core side. Requests for the port's address are answered. Replies and announcements are punted, within the limit
//! (`punt_policed`): control keeps the adjacencies. Requests for others are `arp_ignored`.
//!
//! What is not ARP of IPv4 over Ethernet, or has another sender inside than outside, is `arp_malformed`.

use shm_bridge::access::Found;
use shm_bridge::garden::mask;
use shm_bridge::session::{RowState, mac_bits};
use shm_bridge::{DropReason, PuntReason};

use crate::answer;
use crate::burst::{Burst, Lane, Marks};
use crate::context::Context;
use crate::line;
use crate::ports::{Core, Port, Side};
use crate::punt_policer::Admission;
use crate::wire::arp::{self, Arp};
use crate::wire::ipv4;

pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    if !burst.marks.has(Marks::ARP) {
        return;
    }
    let (port, now_ns) = (burst.port, burst.now_ns);
    for lane in burst.live().filter(|lane| lane.meta.marks.has(Marks::ARP)) {
        let judged = match &port.side {
            Side::Access(_) => access(lane, &port, context),
            Side::Core(core) => self::core(lane, core, context, now_ns),
        };
        let done = match judged {
            Ok(Answer::Address) => reply(lane, &port).map(|()| lane.forward(port.index)),
            Ok(Answer::Punt) => answer::restore_tags(lane, &port).map(|()| lane.punt(PuntReason::Arp)),
            Err(reason) => {
                lane.drop(reason, &mut context.counts);
                Some(())
            }
        };
        if done.is_none() {
            lane.drop(DropReason::NoHeadroom, &mut context.counts);
        }
    }
}

/// What is done with a packet that is not dropped.
enum Answer {
    /// The target is ours to speak for.
    Address,
    Punt,
}

/// The packet, if its form is right and its frame and itself name the same sender.
fn packet<'l>(lane: &'l Lane<'_>) -> Result<&'l Arp, DropReason> {
    let arp: &Arp = lane
        .frame
        .header(usize::from(lane.meta.l3))
        .ok_or(DropReason::ArpMalformed)?;
    if arp.is_ethernet_ipv4() && mac_bits(arp.sender_mac) == lane.meta.source_mac {
        Ok(arp)
    } else {
        Err(DropReason::ArpMalformed)
    }
}

fn access(lane: &mut Lane<'_>, port: &Port, context: &Context) -> Result<Answer, DropReason> {
    let tables = &context.tables;
    let arp = packet(lane)?;
    let (sender, target, operation) = (arp.sender.get(), arp.target.get(), arp.operation.get());
    let session = match line::lookup(&lane.meta, port, &context.ports, tables) {
        Found::Session(session) => session,
        Found::NoSession => return Err(DropReason::ArpNoSession),
        Found::UnknownLine => return Err(DropReason::UnknownLine),
    };
    let row = line::row(tables, session)?;
    match row.policy().state() {
        RowState::Free | RowState::Discovered => return Err(DropReason::ArpNoSession),
        RowState::Terminated => return Err(DropReason::SessionTerminated),
        RowState::Wgar | RowState::Activating | RowState::Active | RowState::Suspended => {}
    }
    let own = row.ipv4();
    let is_probe = sender == 0;
    if row.mac_bits() != lane.meta.source_mac || (sender != own && !is_probe) {
        return Err(DropReason::ArpSpoofed);
    }
    let in_subnet = (target ^ own) & mask(row.prefix_len()) == 0;
    if operation != arp::REQUEST || target == own || !in_subnet {
        return Err(DropReason::ArpIgnored);
    }
    Ok(Answer::Address)
}

fn core(lane: &Lane<'_>, core: &Core, context: &mut Context, now_ns: u64) -> Result<Answer, DropReason> {
    let arp = packet(lane)?;
    let (sender, target) = (arp.sender.get(), arp.target.get());
    if arp.operation.get() == arp::REQUEST {
        if target == core.address && sender != core.address {
            return Ok(Answer::Address);
        }
        if sender != target {
            return Err(DropReason::ArpIgnored);
        }
    }
    // A reply or an announcement (RFC 5227, section 3) of an address that no host can have teaches nothing.
    if !ipv4::is_host(sender) {
        return Err(DropReason::ArpIgnored);
    }
    match context.punts.admit(PuntReason::Arp, now_ns) {
        Admission::Granted => Ok(Answer::Punt),
        Admission::LineExceeded | Admission::Exceeded => Err(DropReason::PuntPoliced),
    }
}

/// Makes the request its own reply: the target is at the port's address. `None` where the frame has no room for its tags.
fn reply(lane: &mut Lane<'_>, port: &Port) -> Option<()> {
    answer::turn_around(lane, port)?;
    let arp = lane.frame.header_mut::<Arp>(usize::from(lane.meta.l3))?;
    *arp = Arp::new(
        arp::REPLY,
        (port.mac, arp.target.get()),
        (arp.sender_mac, arp.sender.get()),
    );
    Some(())
}
