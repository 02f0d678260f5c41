//! The DHCP conversation (RFC 2131 section 4.3): from a message to an offer, a grant, a NAK or a counted silence.
//!
//! | message | answer |
//! |---|---|
//! | DISCOVER | OFFER of the address the session has, had, asks for, or the next free one |
//! | REQUEST, SELECTING | ACK of what was offered, or of what the session has |
//! | REQUEST, INIT-REBOOT, RENEWING, REBINDING | ACK of the address the host has or had, NAK of any other |
//! | DECLINE | none; the address rests in quarantine |
//! | RELEASE | none; the address is kept for its owner |
//! | INFORM | ACK with options, for the address the host has |
//!
//! A NAK is only given on a settled answer: never while AAA or the store is asked (the message waits), and a message that waits is replaced by
//! the next one of its session. On an access line this server is the only one, so an address it does not know is wrong
//! there and NAKed, where RFC 2131 section 4.3.2 asks servers that share a wire to be silent.

use super::authorization::Settled;
use super::clockwork::{binding_time, duration_ns};
use super::entry::{Asking, Offer};
use super::{Cx, Engine, holder};
use crate::dhcp::{Answer, Kind, Lease, Notice, Refusal, Request};
use crate::pool::PoolId;
use crate::session::{SessionId, State};
use std::net::Ipv4Addr;

impl Engine {
    /// Answers the message, or lets it wait for what must be known first.
    pub(super) fn converse(&mut self, cx: &mut Cx<'_>, id: SessionId, asking: Asking) -> Result<(), Refusal> {
        let Some(entry) = self.table.get_mut(id) else {
            return Err(Refusal::NoSession);
        };
        if entry.session.state == State::Terminated {
            return Err(Refusal::Terminated);
        }
        if entry.session.binding.is_none() {
            // It is heard of, so it does not end yet.
            entry.linger_until = Some(cx.now.mono_ns + super::clockwork::LINGER_NS);
        }
        if let Some(operation) = &entry.operation {
            if operation.answers(&asking.request) {
                return Err(Refusal::Duplicate);
            }
            self.park(id, &asking);
            return Ok(());
        }
        if entry.session.binding.is_some() && entry.bound(cx.now.mono_ns).is_none() {
            self.expire(cx, id);
        }
        match asking.request.kind {
            Kind::Discover => match self.settle(cx, id, &asking)? {
                Settled::Yes => self.discovered(cx, id, asking),
                Settled::NotYet => Ok(()),
            },
            Kind::Request => match self.settle(cx, id, &asking)? {
                Settled::Yes => self.requested(cx, id, asking),
                Settled::NotYet => Ok(()),
            },
            Kind::Decline => self.declined(cx, id, &asking),
            Kind::Release => self.released(cx, id, &asking),
            Kind::Inform => self.informed(cx, id, &asking),
        }
    }

    /// Goes on with the message that waited.
    pub(super) fn resume_conversation(&mut self, cx: &mut Cx<'_>, id: SessionId) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        if entry.operation.is_some() {
            return;
        }
        if let Some(asking) = entry.parked.take()
            && let Err(refusal) = self.converse(cx, id, *asking)
        {
            self.counts.refuse(refusal);
        }
    }

    /// DISCOVER, and it is known what the session may have.
    fn discovered(&mut self, cx: &mut Cx<'_>, id: SessionId, asking: Asking) -> Result<(), Refusal> {
        let now = cx.now.mono_ns;
        let Some(entry) = self.table.get(id) else {
            return Err(Refusal::NoSession);
        };
        let pool = self.wanted_pool(&entry.session).ok_or(Refusal::UnknownPool)?;
        let request = &asking.request;
        if entry.displaces(request) && !entry.displacements.allows(now) {
            return Err(Refusal::Displacement);
        }
        let present = entry
            .bound(now)
            .filter(|_| self.binding_pool(&entry.session) == Some(pool));
        let offered = entry
            .offer
            .filter(|offer| offer.reserved && offer.pool == pool && offer.until > now);
        let (address, reserved) = match (present, offered) {
            (Some(address), _) => {
                self.lapse_offer(id);
                (address, false)
            }
            (None, Some(offer)) => (offer.address, true),
            (None, None) => {
                self.lapse_offer(id);
                (self.set_aside(cx, id, pool, request)?, true)
            }
        };
        let until = now.saturating_add(duration_ns(self.config.dhcp.offer));
        if let Some(entry) = self.table.get_mut(id) {
            entry.offer = Some(Offer {
                address,
                pool,
                mac: request.chaddr,
                until,
                reserved,
            });
        }
        let config = self.config.clone();
        let config = &config.pools[usize::from(pool.0)];
        let lease = Lease {
            address,
            pool: config,
            seconds: seconds(config.lease.as_secs()),
        };
        self.send(cx, Answer::Offer(lease), &asking);
        Ok(())
    }

    /// Reserves an address for the session, within what its line may have.
    fn set_aside(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        pool: PoolId,
        request: &Request,
    ) -> Result<Ipv4Addr, Refusal> {
        let Some(entry) = self.table.get(id) else {
            return Err(Refusal::NoSession);
        };
        let access_loop = entry.access_loop.clone();
        if self.loop_of(&access_loop).offers >= self.config.dhcp.offers_per_line {
            return Err(Refusal::LineOffersFull);
        }
        let holder = holder(&entry.session.identity, request);
        let inherit = entry.inherit();
        let Some(found) = self.pools.reserve(pool, holder, id, request.requested, inherit) else {
            self.exhausted(cx, pool);
            return Err(Refusal::PoolExhausted);
        };
        if found.reclaimed {
            self.counts.note(Notice::Reclaimed);
        }
        self.use_loop(&access_loop, |usage| usage.offers += 1);
        Ok(found.address)
    }

    /// The offer, if there is one, was not taken.
    pub(super) fn lapse_offer(&mut self, id: SessionId) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        if let Some(offer) = entry.offer.take()
            && offer.reserved
        {
            let access_loop = entry.access_loop.clone();
            self.pools.lapse(offer.address);
            self.use_loop(&access_loop, |usage| {
                usage.offers = usage.offers.saturating_sub(1)
            });
        }
    }

    /// REQUEST, and it is known what the session may have. The client's state is told by which fields are there (RFC 2131 section 4.3.2).
    fn requested(&mut self, cx: &mut Cx<'_>, id: SessionId, asking: Asking) -> Result<(), Refusal> {
        let request = &asking.request;
        match request.server_id {
            Some(server) if server == self.config.dhcp.server_id => self.selecting(cx, id, asking),
            Some(_) => {
                self.lapse_offer(id);
                Err(Refusal::OtherServer)
            }
            None => self.reasserting(cx, id, asking),
        }
    }

    /// SELECTING: the client takes our offer.
    fn selecting(&mut self, cx: &mut Cx<'_>, id: SessionId, asking: Asking) -> Result<(), Refusal> {
        let now = cx.now.mono_ns;
        let request = &asking.request;
        // Some clients send their address in ciaddr when they renew with a server identifier.
        let own = Some(request.ciaddr).filter(|address| !address.is_unspecified());
        let address = request.requested.or(own).ok_or(Refusal::NoAddressAsked)?;
        let Some(entry) = self.table.get(id) else {
            return Err(Refusal::NoSession);
        };
        let pool = self.wanted_pool(&entry.session).ok_or(Refusal::UnknownPool)?;
        let offer = entry.offer.filter(|offer| {
            offer.address == address && offer.mac == request.chaddr && offer.pool == pool && offer.until > now
        });
        if let Some(offer) = offer {
            if entry.displaces(request) && !entry.displacements.allows(now) {
                return Err(Refusal::Displacement);
            }
            return self.grant(cx, id, asking, pool, address, offer.reserved);
        }
        self.confirm(cx, id, asking, pool, address)
    }

    /// INIT-REBOOT, RENEWING, REBINDING: the client has an address and wants to keep it.
    fn reasserting(&mut self, cx: &mut Cx<'_>, id: SessionId, asking: Asking) -> Result<(), Refusal> {
        let request = &asking.request;
        let address = match request.requested {
            Some(address) if request.ciaddr.is_unspecified() => address,
            _ if !request.ciaddr.is_unspecified() => request.ciaddr,
            _ => return Err(Refusal::NoAddressAsked),
        };
        let Some(entry) = self.table.get(id) else {
            return Err(Refusal::NoSession);
        };
        let pool = self.wanted_pool(&entry.session).ok_or(Refusal::UnknownPool)?;
        self.confirm(cx, id, asking, pool, address)
    }

    /// ACK for the address the host has, or had and nobody took; NAK for any other.
    fn confirm(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        asking: Asking,
        pool: PoolId,
        address: Ipv4Addr,
    ) -> Result<(), Refusal> {
        let now = cx.now.mono_ns;
        let Some(entry) = self.table.get(id) else {
            return Err(Refusal::NoSession);
        };
        let request = &asking.request;
        let in_pool = self.pools.id_of(address) == Some(pool);
        if entry.bound(now) == Some(address) && in_pool && entry.session.mac == request.chaddr {
            return self.renew(cx, id, asking, pool, address);
        }
        let free_to_return =
            in_pool && entry.bound(now).is_none() && (entry.shared || !entry.displaces(request));
        if free_to_return {
            let holder = holder(&entry.session.identity, request);
            let inherit = entry.inherit();
            let offered_here = entry.offer.is_some_and(|offer| {
                offer.reserved && offer.address == address && offer.mac == request.chaddr && offer.until > now
            });
            if offered_here {
                return self.grant(cx, id, asking, pool, address, true);
            }
            if self.pools.reserve_kept(pool, holder, id, address, inherit) {
                self.lapse_offer(id);
                let until = now.saturating_add(duration_ns(self.config.dhcp.offer));
                let mac = request.chaddr;
                if let Some(entry) = self.table.get_mut(id) {
                    entry.offer = Some(Offer {
                        address,
                        pool,
                        mac,
                        until,
                        reserved: true,
                    });
                    let access_loop = entry.access_loop.clone();
                    self.use_loop(&access_loop, |usage| usage.offers += 1);
                }
                return self.grant(cx, id, asking, pool, address, true);
            }
        }
        self.counts.note(Notice::Nak);
        self.send(cx, Answer::Nak("this address is not valid here"), &asking);
        Ok(())
    }

    /// Extends the address the host has. What the store knows covers the lease in most cases, so nothing is written; where it does not, or
    /// workers do not see the session as it is, it is a grant like the first.
    fn renew(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        asking: Asking,
        pool: PoolId,
        address: Ipv4Addr,
    ) -> Result<(), Refusal> {
        let now = cx.now.mono_ns;
        let config = self.config.clone();
        let config = &config.pools[usize::from(pool.0)];
        let Some(entry) = self.table.get_mut(id) else {
            return Err(Refusal::NoSession);
        };
        let seen = match (&entry.published, asking.line) {
            (Some(image), Some(line)) => {
                image.line == line && image.mac == asking.request.chaddr && image.ipv4 == address
            }
            (None, None) => true,
            _ => false,
        };
        // Half the binding keeps what is stored from growing old; the whole lease is what law 5 asks.
        let promised = duration_ns(config.lease).max(duration_ns(config.binding) / 2);
        let stored = entry.stored_until >= now.saturating_add(promised);
        if !seen || !stored || entry.session.state == State::Activating {
            return self.grant(cx, id, asking, pool, address, false);
        }
        entry.bound_until = now.saturating_add(duration_ns(binding_time(config)));
        let lease = Lease {
            address,
            pool: config,
            seconds: seconds(config.lease.as_secs()),
        };
        self.send(cx, Answer::Ack(lease), &asking);
        Ok(())
    }

    /// INFORM: options for the address the host has, no lease (RFC 2131 section 4.3.5).
    fn informed(&mut self, cx: &mut Cx<'_>, id: SessionId, asking: &Asking) -> Result<(), Refusal> {
        let Some(entry) = self.table.get(id) else {
            return Err(Refusal::NoSession);
        };
        let address = entry.bound(cx.now.mono_ns);
        let own = address.is_some_and(|address| address == asking.request.ciaddr)
            && entry.session.mac == asking.request.chaddr;
        let pool = self.binding_pool(&entry.session).filter(|_| own);
        let pool = pool.ok_or(Refusal::NotTheHolder)?;
        let config = self.config.clone();
        self.send(cx, Answer::Inform(&config.pools[usize::from(pool.0)]), asking);
        Ok(())
    }
}

/// A lease in the option's 32 bits; all ones would mean for ever.
pub(super) fn seconds(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX).min(u32::MAX - 1)
}
