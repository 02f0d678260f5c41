//! From the trunk to a subscriber: tags off, find the ONT, snoop DHCP and take Option 82 out.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::{AccessNode, DropReason, LineTags, OntIndex, UPLINK_MACS_MAX};
use crate::config::Tagging;
use crate::net::Carrier;
use crate::wire::dhcp::{self, Dhcp, MessageType, Op};
use crate::wire::ethernet::{self, HEADER_BYTES};
use crate::wire::frame::Frame;
use crate::wire::option82;
use crate::wire::vlan::{TPID_C, VlanId};

/// Lease time of an ACK that states none: RFC 2131 obliges the server, so this is a guess of last resort.
const LEASE_SECONDS_UNSTATED: u32 = 3600;

impl AccessNode {
    /// Judges one frame of the trunk, makes it what the subscriber gets, and lists the receivers in `to`
    /// (several for a broadcast on a shared line). A drop is counted here.
    pub fn downstream(
        &mut self,
        frame: &mut Frame,
        to: &mut Vec<OntIndex>,
        now: Instant,
    ) -> Result<(), DropReason> {
        to.clear();
        let found = self.pass_downstream(frame, to, now);
        match found {
            Ok(()) => {
                for index in to.iter() {
                    self.counters.downstream.add(frame.len());
                    if let Some(ont) = self.ont_mut(*index) {
                        ont.downstream.add(frame.len());
                    }
                }
            }
            Err(reason) => self.count_drop(reason),
        }
        found
    }

    fn pass_downstream(
        &mut self,
        frame: &mut Frame,
        to: &mut Vec<OntIndex>,
        now: Instant,
    ) -> Result<(), DropReason> {
        if frame.len() < HEADER_BYTES {
            return Err(DropReason::Runt);
        }
        let tags = self.untag(frame)?;
        self.remember_uplink(frame);
        let line = self.by_tags.get(&tags).ok_or(DropReason::UnknownLine)?;
        to.extend(
            line.iter()
                .copied()
                .filter(|index| self.ont(*index).is_some_and(|ont| ont.carrier == Carrier::Up)),
        );
        if to.is_empty() {
            return Err(DropReason::LineDown);
        }
        let shared = self.ont(to[0]).is_some_and(|ont| ont.is_shared());
        if let Some((dhcp::SERVER_PORT, dhcp::CLIENT_PORT)) = dhcp::ports(frame.bytes())
            && let Ok(dhcp) = Dhcp::parse(frame.bytes())
            && dhcp.op == Op::Reply
        {
            return self.server_message(tags, frame, &dhcp, to, now);
        }
        if shared {
            self.choose_by_mac(tags, frame, to)?;
        }
        Ok(())
    }

    fn untag(&self, frame: &mut Frame) -> Result<LineTags, DropReason> {
        let mut vlan = |tpid: u16| match frame.pop_tag() {
            Some((found, tci)) if found == tpid => VlanId::of_tci(tci).ok_or(DropReason::UnknownLine),
            Some(_) => Err(DropReason::UnknownTpid),
            None => Err(DropReason::UnknownLine),
        };
        match self.tagging {
            Tagging::Untagged => Ok(LineTags::Untagged),
            Tagging::Single => Ok(LineTags::Single(vlan(self.outer_tpid.get())?)),
            Tagging::Qinq => {
                let s_vlan = vlan(self.outer_tpid.get())?;
                let c_vlan = vlan(TPID_C)?;
                Ok(LineTags::Double { s_vlan, c_vlan })
            }
        }
    }

    /// Whoever sends on the trunk is the BNG: no subscriber may use that MAC.
    fn remember_uplink(&mut self, frame: &Frame) {
        if let Some(source) = ethernet::source(frame.bytes())
            && !source.is_group()
            && !self.uplink_macs.contains(&source)
        {
            if self.uplink_macs.len() >= UPLINK_MACS_MAX {
                self.uplink_macs.remove(0);
            }
            self.uplink_macs.push(source);
        }
    }

    /// On a shared line a unicast frame goes to the ONT that has the MAC; a group address to all of them.
    fn choose_by_mac(&self, tags: LineTags, frame: &Frame, to: &mut Vec<OntIndex>) -> Result<(), DropReason> {
        let destination = ethernet::destination(frame.bytes()).ok_or(DropReason::Runt)?;
        if destination.is_group() {
            return Ok(());
        }
        let owner = *self
            .by_mac
            .get(&(tags, destination))
            .ok_or(DropReason::UnknownMac)?;
        to.retain(|index| *index == owner);
        if to.is_empty() {
            Err(DropReason::LineDown)
        } else {
            Ok(())
        }
    }

    /// A server's answer goes to the client's ONT alone, even when it is broadcast (RFC 3046 §2.1): found by
    /// the circuit-id that the server echoed, else by the client's MAC.
    fn server_message(
        &mut self,
        tags: LineTags,
        frame: &mut Frame,
        dhcp: &Dhcp,
        to: &mut Vec<OntIndex>,
        now: Instant,
    ) -> Result<(), DropReason> {
        let circuit_id = option82::circuit_id(frame.bytes(), dhcp);
        let by_circuit = circuit_id.and_then(|circuit_id| {
            to.iter().copied().find(|index| {
                self.ont(*index)
                    .is_some_and(|ont| ont.circuit_id.as_bytes() == circuit_id)
            })
        });
        let by_mac = || self.by_mac.get(&(tags, dhcp.client_mac)).copied();
        if let Some(client) = by_circuit.or_else(by_mac)
            && to.contains(&client)
        {
            to.clear();
            to.push(client);
        }
        if let [client] = to[..]
            && dhcp.message_type == Some(MessageType::Ack)
            && dhcp.your_address != Ipv4Addr::UNSPECIFIED
            && let Some(ont) = self.ont_mut(client)
        {
            let seconds = dhcp.lease_seconds.unwrap_or(LEASE_SECONDS_UNSTATED);
            ont.hosts.leased(dhcp.client_mac, dhcp.your_address, seconds, now);
        }
        let removed = option82::remove(frame, dhcp).map_err(|_| DropReason::NoRoom)?;
        self.counters.option82_removed += u64::from(removed);
        Ok(())
    }
}
