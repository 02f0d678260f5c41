//! Why the node did not deliver a frame. A reason is one line here; counters and API follow.

use serde::Serializer;
use serde::ser::SerializeMap;

macro_rules! reasons {
    ($($name:ident $text:literal $meaning:literal),+ $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DropReason { $(#[doc = $meaning] $name),+ }

        impl DropReason {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

reasons! {
    Runt "runt" "Shorter than an Ethernet header.",
    Oversize "oversize" "Longer than the node's buffers; cut off by the kernel.",
    LineDown "line_down" "The ONT's line is dark.",
    NoRoom "no_room" "No room left for the line's tags.",
    TrunkDown "trunk_down" "The trunk's interface is not there.",
    TrunkFull "trunk_full" "The trunk's interface refused the frame.",
    TapFull "tap_full" "The subscriber's interface refused the frame.",
    SpoofedMac "spoofed_mac" "Source MAC is a group address, the BNG's, another line's, or not the DHCP client's.",
    TooManyMacs "too_many_macs" "More hosts on the line than it may have.",
    TaggedBySubscriber "tagged_by_subscriber" "The subscriber's frame carries a VLAN tag.",
    DhcpServer "dhcp_server" "A DHCP server's message from a subscriber.",
    DhcpOption82 "dhcp_option82" "A client's message that already carries Option 82 (RFC 3046 2.1).",
    DhcpRelayed "dhcp_relayed" "A client's message with giaddr set (RFC 3046 2.1.1).",
    DhcpMalformed "dhcp_malformed" "To the DHCP server's port, but no whole DHCP message.",
    SpoofedIp "spoofed_ip" "Source address is not leased to this MAC on this line.",
    SpoofedArp "spoofed_arp" "ARP for an address or MAC that is not the sender's.",
    UnknownLine "unknown_line" "Downstream frame with tags that no ONT has.",
    UnknownTpid "unknown_tpid" "Downstream frame whose outer or inner TPID is not the trunk's.",
    UnknownMac "unknown_mac" "Downstream unicast to a MAC not seen on this shared line.",
}

pub(super) fn serialize<S: Serializer>(drops: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(drops.len()))?;
    for (reason, count) in DropReason::ALL.iter().zip(drops) {
        map.serialize_entry(reason.name(), count)?;
    }
    map.end()
}
