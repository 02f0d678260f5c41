//! Local: packets to our own addresses.
//!
//! Lanes whose leaf is local end here, in the garden or out of it: a gateway that does not answer pings looks broken. An ICMP echo
//! request is answered in place (RFC 792), wherever the subscriber's state lets him have traffic; UDP gets "port unreachable"
//! within the limit; everything not answered is `local_unserved`. DHCP was taken out before.

use shm_bridge::DropReason;
use shm_bridge::fib::Leaf;
use zerocopy::byteorder::network_endian::U32;

use crate::answer;
use crate::burst::{Burst, Lane};
use crate::context::Context;
use crate::icmp_error::IcmpError;
use crate::ports::Port;
use crate::wire::checksum;
use crate::wire::icmp::{self, Icmp};
use crate::wire::ipv4::{self, Ipv4};

const TTL: u8 = 64;

pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    let (port, now_ns) = (burst.port, burst.now_ns);
    for lane in burst.live().filter(|lane| lane.meta.leaf == Leaf::Local) {
        serve(lane, &port, context, now_ns);
    }
}

#[cold]
fn serve(lane: &mut Lane<'_>, port: &Port, context: &mut Context, now_ns: u64) {
    if is_echo_request(lane) {
        match echo(lane, port) {
            Some(()) => lane.forward(port.index),
            None => lane.drop(DropReason::NoHeadroom, &mut context.counts),
        }
    } else if lane.meta.protocol == ipv4::UDP {
        context
            .refusal(port, now_ns)
            .refuse(lane, DropReason::LocalUnserved, IcmpError::PortUnreachable);
    } else {
        lane.drop(DropReason::LocalUnserved, &mut context.counts);
    }
}

/// Whether the packet is a whole echo request; its fragments are not put together here.
fn is_echo_request(lane: &Lane<'_>) -> bool {
    let meta = &lane.meta;
    let (header_len, l3) = (usize::from(meta.header_len), usize::from(meta.l3));
    meta.protocol == ipv4::ICMP
        && !meta.fragment.is_fragment()
        && usize::from(meta.total_len) >= header_len + icmp::HEADER_BYTES
        && lane
            .frame
            .header::<Icmp>(l3 + header_len)
            .is_some_and(|header| (header.kind, header.code) == (icmp::ECHO_REQUEST, 0))
}

/// Makes the request its own reply. A wrong ICMP checksum stays as wrong as it was.
fn echo(lane: &mut Lane<'_>, port: &Port) -> Option<()> {
    answer::turn_around(lane, port)?;
    let l3 = usize::from(lane.meta.l3);
    let (us, sender) = (lane.meta.destination, lane.meta.source);
    let ip = lane.frame.header_mut::<Ipv4>(l3)?;
    // Exchanging the addresses leaves the sum as it is.
    (ip.source, ip.destination) = (U32::new(us), U32::new(sender));
    ip.checksum = checksum::update(ip.checksum, [ip.ttl, ip.protocol], [TTL, ip.protocol]);
    ip.ttl = TTL;
    let header = lane
        .frame
        .header_mut::<Icmp>(l3 + usize::from(lane.meta.header_len))?;
    let old = [header.kind, header.code];
    header.kind = icmp::ECHO_REPLY;
    header.checksum = checksum::update(header.checksum, old, [header.kind, header.code]);
    Some(())
}
