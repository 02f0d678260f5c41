//! The mbuf fields that the worker reads and writes per packet, pinned to their offsets at compile time.
//!
//! shims.c asserts the same numbers with the C compiler, so three parties agree before anything is built: libclang
//! (through bindgen), rustc, and the compiler whose inlines run in the shims. These offsets are also an ABI that
//! drivers rely on (they write `data_off..port` and `packet_type..hash` as vectors), so they change only with a
//! DPDK ABI version.

use core::mem::{align_of, offset_of, size_of};

use crate::rte_mbuf;

const _: () = {
    assert!(size_of::<rte_mbuf>() == 128, "rte_mbuf is two cache lines");
    assert!(align_of::<rte_mbuf>() == 64);
    assert!(offset_of!(rte_mbuf, buf_addr) == 0);
    assert!(offset_of!(rte_mbuf, data_off) == 16);
    assert!(offset_of!(rte_mbuf, refcnt) == 18);
    assert!(offset_of!(rte_mbuf, nb_segs) == 20);
    assert!(offset_of!(rte_mbuf, port) == 22);
    assert!(offset_of!(rte_mbuf, ol_flags) == 24);
    assert!(offset_of!(rte_mbuf, __bindgen_anon_1) == 32, "packet_type");
    assert!(offset_of!(rte_mbuf, pkt_len) == 36);
    assert!(offset_of!(rte_mbuf, data_len) == 40);
    assert!(offset_of!(rte_mbuf, vlan_tci) == 42);
    assert!(offset_of!(rte_mbuf, __bindgen_anon_2) == 44, "hash");
    assert!(offset_of!(rte_mbuf, vlan_tci_outer) == 52);
    assert!(offset_of!(rte_mbuf, buf_len) == 54);
    assert!(offset_of!(rte_mbuf, pool) == 56);
};
