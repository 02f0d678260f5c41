//! DPDK behind safe types. The only place of the worker that calls it, and the only user of `dpdk-sys`.
//!
//! ```text
//!   Eal::init ──► Eal (a value, stays on the main lcore)
//!     ├─ Mempool::create      mbufs; never freed before the Eal
//!     ├─ Port::open           ──► Port + RxQueue × N + TxQueue × M, started
//!     ├─ Eal::launch          a closure on an lcore, with the queues it owns moved into it
//!     └─ drop                 waits for the lcores, closes what is left, cleans up
//!
//!   on an lcore:  RxQueue::receive ──► MbufBurst of Mbuf ──► TxQueue::send (what was not sent stays in the burst)
//! ```
//!
//! # What makes it sound
//!
//! - **One owner.** [`Mbuf`] is neither `Clone` nor `Copy`; dropping it frees it. [`RxQueue`] and [`TxQueue`] exist
//!   once per queue and want `&mut`: no two threads poll one queue.
//! - **mbufs stay on lcores.** [`Mbuf`] and [`MbufBurst`] are not `Send`, and the first of them on a thread comes by a
//!   [`Lcore`] token, which only EAL's own threads have. From one lcore to another they go through a
//!   [`handoff`] alone.
//! - **Nothing outlives its memory.** Queues keep their port open; ports, queues, pools and handoffs keep a count that
//!   [`Eal`]'s drop looks at after it has joined every lcore. If one of them, or an mbuf, is still out, EAL's memory is
//!   left mapped for the process to end with, and the log says so.
//!
//! Every function here is called at start, at the end, by the housekeeping thread, or once a burst. What runs per
//! packet ([`Mbuf::window`], [`Mbuf::set_window`]) is a few loads and stores.

mod clock;
mod eal;
mod errno;
mod handoff;
mod lcores;
mod mbuf;
mod mbuf_burst;
mod mempool;
mod port;
mod queue;
mod stop;
mod telemetry;

pub use clock::{Clock, Timebase};
pub use eal::{Eal, EalError};
pub use errno::Errno;
pub use handoff::{HandoffError, HandoffMeter, HandoffReceiver, HandoffSender, handoff};
pub use lcores::{LaunchError, Lcore, LcoreHandle, LcoreId, LcorePanicked};
pub use mbuf::{Mbuf, Window};
pub use mbuf_burst::{BURST_MAX, MbufBurst};
pub use mempool::{Mempool, MempoolConfig, MempoolError};
pub use port::{
    Addresses, Capabilities, FrameShortage, Hashing, Link, Port, PortConfig, PortError, PortStats,
    Promiscuous, ReceiveSpread,
};
pub use queue::{RxQueue, TxQueue};
pub use stop::StopFlag;
pub use telemetry::{TelemetryError, TelemetryReply};
