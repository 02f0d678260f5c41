//! Why a packet ended: the one list from which counters, metric labels and docs follow.
//!
//! Adding a reason is one line here. The names are part of the layout fingerprint, so two processes that disagree about
//! them do not attach to each other.

/// Declares an enum of reasons with its metric label and its meaning, and the tables that follow from it.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $label:literal: $meaning:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $(#[doc = $meaning] $variant,)* }

        impl $name {
            /// All reasons, in the order of their counters.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// Metric labels, in the same order.
            pub const LABELS: &'static [&'static str] = &[$($label,)*];
            const MEANINGS: &'static [&'static str] = &[$($meaning,)*];

            /// The label used in metrics, REST and the CLI.
            pub fn label(self) -> &'static str { Self::LABELS[self as usize] }

            /// What happened, in a sentence.
            pub fn meaning(self) -> &'static str { Self::MEANINGS[self as usize] }

            /// The reason whose counter stands at `index`.
            pub fn from_index(index: usize) -> Option<$name> { Self::ALL.get(index).copied() }
        }
    };
}

reasons! {
    /// Why a packet was dropped.
    DropReason {
        Truncated = "truncated": "The frame ends before its headers do.",
        MultiSegment = "multi_segment": "The frame is spread over several mbufs.",
        UnknownEthertype = "unknown_ethertype": "The frame carries neither IPv4 nor ARP.",
        Ipv6 = "ipv6": "IPv6 is not forwarded yet.",
        BadTags = "bad_tags": "The VLAN tags do not fit what the port expects.",
        BadEthernet = "bad_ethernet": "The Ethernet source address is a group address or zero.",
        NotForUs = "not_for_us": "The destination MAC address is neither ours nor broadcast.",
        UnknownLine = "unknown_line": "No access line is configured for these tags on this port.",
        BadIpHeader = "bad_ip_header": "IPv4 version, header length or total length is wrong.",
        BadIpChecksum = "bad_ip_checksum": "The IPv4 header checksum is wrong.",
        BadSourceAddress = "bad_source_address": "The IPv4 source is multicast, broadcast, loopback or zero.",
        BadDestination = "bad_destination": "The IPv4 destination is zero, loopback or reserved.",
        NoSession = "no_session": "The line or address has no session.",
        SessionTerminated = "session_terminated": "The session was terminated.",
        SpoofedMac = "spoofed_mac": "The source MAC address is not the session's.",
        SpoofedAddress = "spoofed_address": "The source IPv4 address is not the session's.",
        SourceRoute = "source_route": "The packet carries a source-route option.",
        GardenDestination = "garden_destination": "The walled garden permits no such destination, protocol or port.",
        GardenFragment = "garden_fragment": "A fragment without a port cannot be judged by the walled garden.",
        GardenOptions = "garden_options": "IPv4 options are not permitted in the walled garden.",
        GardenMissing = "garden_missing": "The session's garden profile does not exist.",
        Policed = "policed": "The subscriber exceeded the session's rate.",
        NoRoute = "no_route": "No route leads to the destination.",
        DiscardRoute = "discard_route": "The destination is an unassigned address of a pool.",
        AdjacencyUnresolved = "adjacency_unresolved": "The next hop's MAC address is not known yet.",
        TtlExceeded = "ttl_exceeded": "The packet's time to live ended here.",
        TooBig = "too_big": "The packet is larger than the next MTU; fragments are not made here.",
        Broadcast = "broadcast": "A broadcast destination is not forwarded.",
        Multicast = "multicast": "A multicast destination is not forwarded.",
        SubscriberToSubscriber = "subscriber_to_subscriber": "Traffic between subscribers is switched off.",
        HairpinCore = "hairpin_core": "A core packet's route leads back to the core.",
        ArpMalformed = "arp_malformed": "The ARP packet is not Ethernet/IPv4 or contradicts its frame.",
        ArpNoSession = "arp_no_session": "ARP from a line without a session.",
        ArpSpoofed = "arp_spoofed": "The ARP sender is not the session's host.",
        ArpIgnored = "arp_ignored": "ARP that needs no answer: a probe of one's own address, an announcement, another's.",
        LocalUnserved = "local_unserved": "A packet to one of our own addresses that nothing here serves.",
        DhcpMalformed = "dhcp_malformed": "UDP to a DHCP port that cannot be a DHCP message from this side.",
        PuntLinePoliced = "punt_line_policed": "The line sent more to control than a line may.",
        PuntPoliced = "punt_policed": "More of this kind was sent to control than the lcore lets through.",
        PuntRingFull = "punt_ring_full": "Control did not take punted frames fast enough.",
        PuntTooLong = "punt_too_long": "A frame to punt is larger than a ring slot.",
        InjectInvalid = "inject_invalid": "Control asked to send a frame of impossible length or port.",
        SpreadFull = "spread_full": "The owning lcore's hand-over ring is full.",
        TxFull = "tx_full": "The port's transmit queue is full.",
        NoMbuf = "no_mbuf": "No mbuf was free for an injected or originated frame.",
        NoHeadroom = "no_headroom": "The buffer has no room in front of the frame for the headers it needs.",
        CorruptTable = "corrupt_table": "A shared table held an impossible index or value.",
    }
}

reasons! {
    /// Why a packet was handed to control.
    PuntReason {
        Dhcp = "dhcp": "A DHCP message from an access line.",
        DhcpKnown = "dhcp_known": "A DHCP message of a known session: the protected class.",
        DhcpRelayed = "dhcp_relayed": "A DHCP message to our server address from the core side.",
        Arp = "arp": "An ARP reply or announcement on a core port.",
        Glean = "glean": "A packet to a connected host whose MAC address is not known.",
    }
}

/// Counters reserved per lcore for drop reasons; more than there are, so that the block's offsets are stable.
pub const DROP_SLOTS: usize = 96;
/// Counters reserved per lcore for punt reasons.
pub const PUNT_SLOTS: usize = 16;

const _: () = assert!(DropReason::ALL.len() <= DROP_SLOTS);
const _: () = assert!(PuntReason::ALL.len() <= PUNT_SLOTS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_stands_for_one_reason_and_an_index_finds_it() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(DropReason::from_index(index), Some(*reason));
            assert_eq!(
                DropReason::LABELS
                    .iter()
                    .filter(|l| **l == reason.label())
                    .count(),
                1
            );
            assert!(reason.meaning().ends_with('.'));
        }
        assert_eq!(DropReason::from_index(DropReason::ALL.len()), None);
    }
}
