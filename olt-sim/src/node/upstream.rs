//! From a subscriber to the trunk: filter, Option 82, tags.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::hosts::Sighting;
use super::{AccessNode, DropReason, LineTags, OntIndex};
use crate::net::Carrier;
use crate::wire::dhcp::{self, Dhcp, MessageType, Op};
use crate::wire::ethernet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, HEADER_BYTES, MacAddr};
use crate::wire::frame::Frame;
use crate::wire::ipv4::Ipv4;
use crate::wire::vlan::is_tpid;

impl AccessNode {
    /// Judges one frame of an ONT and makes it what the trunk carries. A drop is counted here.
    pub fn upstream(&mut self, index: OntIndex, frame: &mut Frame, now: Instant) -> Result<(), DropReason> {
        let bytes = frame.len();
        match self.pass_upstream(index, frame, now) {
            Ok(()) => {
                self.counters.upstream.add(bytes);
                if let Some(ont) = self.ont_mut(index) {
                    ont.upstream.add(bytes);
                }
                Ok(())
            }
            Err(reason) => {
                self.count_drop(reason);
                Err(reason)
            }
        }
    }

    fn pass_upstream(&mut self, index: OntIndex, frame: &mut Frame, now: Instant) -> Result<(), DropReason> {
        if frame.len() < HEADER_BYTES {
            return Err(DropReason::Runt);
        }
        let Some(ont) = self.ont(index) else {
            return Err(DropReason::LineDown);
        };
        if ont.carrier == Carrier::Down {
            return Err(DropReason::LineDown);
        }
        let tags = ont.tags;
        let source = ethernet::source(frame.bytes()).ok_or(DropReason::Runt)?;
        self.learn(index, source, now)?;
        if self.policy.filter && ethernet::ethertype(frame.bytes()).is_some_and(is_tpid) {
            return Err(DropReason::TaggedBySubscriber);
        }
        match dhcp::ports(frame.bytes()) {
            Some((_, dhcp::SERVER_PORT)) => self.client_message(index, source, frame, now)?,
            Some((dhcp::SERVER_PORT, _)) if self.policy.filter => return Err(DropReason::DhcpServer),
            _ if self.policy.filter => self.check_source(index, source, frame.bytes(), now)?,
            _ => {}
        }
        self.tag(tags, frame)
    }

    /// Remembers the source MAC; on a shared line that is how the answer finds its way back.
    fn learn(&mut self, index: OntIndex, source: MacAddr, now: Instant) -> Result<(), DropReason> {
        let filter = self.policy.filter;
        if source.is_group() || source.is_zero() || self.uplink_macs.contains(&source) {
            return if filter {
                Err(DropReason::SpoofedMac)
            } else {
                Ok(())
            };
        }
        let Some(ont) = self.ont(index) else {
            return Err(DropReason::LineDown);
        };
        if ont.is_shared() {
            let key = (ont.tags, source);
            let owner = self.by_mac.get(&key).copied();
            if let Some(owner) = owner.filter(|owner| *owner != index) {
                let active = self.ont(owner).is_some_and(|other| other.hosts.has(source, now));
                if active && filter {
                    return Err(DropReason::SpoofedMac);
                }
                if let Some(other) = self.ont_mut(owner) {
                    other.hosts.forget(source);
                }
            }
            if owner != Some(index) {
                // Bounded by the hosts a line may have: what does not fit there is not kept here.
                let ont = self.ont_mut(index).ok_or(DropReason::LineDown)?;
                if ont.hosts.see(source, now) == Sighting::Full {
                    return if filter {
                        Err(DropReason::TooManyMacs)
                    } else {
                        Ok(())
                    };
                }
                self.by_mac.insert(key, index);
                return Ok(());
            }
        }
        let ont = self.ont_mut(index).ok_or(DropReason::LineDown)?;
        if ont.hosts.see(source, now) == Sighting::Full && filter {
            return Err(DropReason::TooManyMacs);
        }
        Ok(())
    }

    /// A message to the DHCP server's port. With the filter off whatever cannot be understood, and whatever
    /// carries Option 82 already, goes up as the subscriber wrote it.
    fn client_message(
        &mut self,
        index: OntIndex,
        source: MacAddr,
        frame: &mut Frame,
        now: Instant,
    ) -> Result<(), DropReason> {
        let filter = self.policy.filter;
        let dhcp = match Dhcp::parse(frame.bytes()) {
            Ok(dhcp) => dhcp,
            Err(_) if filter => return Err(DropReason::DhcpMalformed),
            Err(_) => return Ok(()),
        };
        if filter {
            self.check_client(index, source, &dhcp, now)?;
        }
        let insert = self.policy.option82 && dhcp.op == Op::Request && dhcp.option82.is_none();
        let ont = self.ont_mut(index).ok_or(DropReason::LineDown)?;
        if dhcp.message_type == Some(MessageType::Release) {
            ont.hosts.released(dhcp.client_mac);
        }
        if insert {
            let inserted = ont.option82.insert(frame, &dhcp).is_ok();
            self.counters.option82_inserted += u64::from(inserted);
            self.counters.option82_no_room += u64::from(!inserted);
        }
        Ok(())
    }

    fn check_client(
        &self,
        index: OntIndex,
        source: MacAddr,
        dhcp: &Dhcp,
        now: Instant,
    ) -> Result<(), DropReason> {
        if dhcp.op != Op::Request {
            return Err(DropReason::DhcpServer);
        }
        if dhcp.option82.is_some() {
            return Err(DropReason::DhcpOption82);
        }
        if dhcp.relay_address != Ipv4Addr::UNSPECIFIED {
            return Err(DropReason::DhcpRelayed);
        }
        if dhcp.client_mac != source {
            return Err(DropReason::SpoofedMac);
        }
        // A renewal comes from the address it renews. Whether that is leased is the server's to say: this
        // node may have been restarted since the ACK.
        let from = dhcp.ip.source;
        if from != Ipv4Addr::UNSPECIFIED && from != dhcp.client_address {
            let leased = self
                .ont(index)
                .is_some_and(|ont| ont.hosts.may_send_from(source, from, now));
            return if leased {
                Ok(())
            } else {
                Err(DropReason::SpoofedIp)
            };
        }
        Ok(())
    }

    /// IPv4 and ARP only from what DHCP has leased to this MAC on this line.
    fn check_source(
        &self,
        index: OntIndex,
        source: MacAddr,
        frame: &[u8],
        now: Instant,
    ) -> Result<(), DropReason> {
        let Some(ont) = self.ont(index) else {
            return Err(DropReason::LineDown);
        };
        match ethernet::ethertype(frame) {
            Some(ETHERTYPE_IPV4) => {
                let ip = Ipv4::parse(frame).ok_or(DropReason::SpoofedIp)?;
                if ont.hosts.may_send_from(source, ip.source, now) {
                    Ok(())
                } else {
                    Err(DropReason::SpoofedIp)
                }
            }
            Some(ETHERTYPE_ARP) => {
                let (mac, address) = arp_sender(frame).ok_or(DropReason::SpoofedArp)?;
                // Sender 0.0.0.0 is a probe (RFC 5227 §2.1.1): it claims nothing.
                let own = address == Ipv4Addr::UNSPECIFIED || ont.hosts.may_send_from(source, address, now);
                if mac == source && own {
                    Ok(())
                } else {
                    Err(DropReason::SpoofedArp)
                }
            }
            _ => Ok(()),
        }
    }

    fn tag(&self, tags: LineTags, frame: &mut Frame) -> Result<(), DropReason> {
        let outer = self.outer_tpid.get();
        match tags {
            LineTags::Untagged => Ok(()),
            LineTags::Single(vlan) => frame.push_tag(outer, vlan.get()),
            LineTags::Double { s_vlan, c_vlan } => frame
                .push_tag(crate::wire::vlan::TPID_C, c_vlan.get())
                .and_then(|()| frame.push_tag(outer, s_vlan.get())),
        }
        .map_err(|_| DropReason::NoRoom)
    }
}

/// Sender's MAC and address of an Ethernet/IPv4 ARP (RFC 826).
fn arp_sender(frame: &[u8]) -> Option<(MacAddr, Ipv4Addr)> {
    let arp = frame.get(HEADER_BYTES..)?.first_chunk::<28>()?;
    if arp[..6] != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let mac = MacAddr([arp[8], arp[9], arp[10], arp[11], arp[12], arp[13]]);
    Some((mac, Ipv4Addr::new(arp[14], arp[15], arp[16], arp[17])))
}
