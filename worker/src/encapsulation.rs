//! The link header of a subscriber's line, written where the frame begins.

use zerocopy::byteorder::network_endian::U16;

use crate::frame::Frame;
use crate::ports::{Access, Tagging};
use crate::wire::ethernet::{self, Ethernet};
use crate::wire::link::{DoubleTagged, SingleTagged, Untagged};
use crate::wire::vlan::{self, Tag};

/// What a link header says; priorities are 0.
#[derive(Clone, Copy, Debug)]
pub struct LineHeader {
    pub destination: [u8; 6],
    pub source: [u8; 6],
    pub s_vlan: u16,
    pub c_vlan: u16,
}

impl LineHeader {
    /// Writes the header in the form of the port, IPv4 following. `None` where the frame is shorter than that.
    #[inline(always)]
    pub fn write(&self, frame: &mut Frame<'_>, access: &Access) -> Option<()> {
        let ethernet = |ethertype| Ethernet {
            destination: self.destination,
            source: self.source,
            ethertype: U16::new(ethertype),
        };
        let ethertype = U16::new(ethernet::IPV4);
        match access.tagging {
            Tagging::QinQ => {
                *frame.header_mut(0)? = DoubleTagged {
                    ethernet: ethernet(access.outer_tpid_tx),
                    outer_tci: U16::new(self.s_vlan),
                    inner: Tag::new(vlan::C_TAG, self.c_vlan),
                    ethertype,
                }
            }
            Tagging::Single => {
                *frame.header_mut(0)? = SingleTagged {
                    ethernet: ethernet(access.outer_tpid_tx),
                    tci: U16::new(self.c_vlan),
                    ethertype,
                }
            }
            Tagging::Untagged => {
                *frame.header_mut(0)? = Untagged {
                    ethernet: ethernet(ethernet::IPV4),
                }
            }
        }
        Some(())
    }
}
