//! What queues owe: order, all bytes, every mbuf back, and the unsent.

use sluice_worker::dpdk::{BURST_MAX, Mbuf, MbufBurst, Window};

use crate::story::{POOL_MBUFS, frames, in_own_process, open, pool, receive, start};

/// The ring of a net_ring device has 1024 slots, one of which stays empty.
const NET_RING_PACKETS: usize = 1023;

#[test]
fn what_is_sent_comes_back_in_order_and_every_mbuf_returns() {
    in_own_process(
        "queues::what_is_sent_comes_back_in_order_and_every_mbuf_returns",
        || {
            let eal = start(&["net_ring0"]);
            let lcore = eal.main_lcore();
            let pool = pool(&eal, "ring");
            let (_port, mut rx, mut tx) = open(&eal, "net_ring0", &pool).expect("net_ring0");
            assert_eq!(pool.in_use(), 0);

            let mut burst = frames(&lcore, &pool, 40);
            assert_eq!(pool.in_use(), 40);
            assert_eq!(tx.send(&mut burst), 40);
            assert!(burst.is_empty());
            let mut received = receive(&lcore, &mut rx, 40);

            assert_eq!(received.len(), 40);
            for (value, mbuf) in (0..).zip(received.iter_mut()) {
                assert_eq!(mbuf.frame(), [value; 60]);
                assert!(!mbuf.is_chained());
            }
            received.clear();
            assert_eq!(pool.in_use(), 0);
            assert_eq!(pool.available(), POOL_MBUFS);
        },
    );
}

#[test]
fn a_full_ring_leaves_the_unsent_in_the_burst() {
    in_own_process("queues::a_full_ring_leaves_the_unsent_in_the_burst", || {
        let eal = start(&["net_ring0"]);
        let lcore = eal.main_lcore();
        let pool = pool(&eal, "ring");
        let (_port, mut rx, mut tx) = open(&eal, "net_ring0", &pool).expect("net_ring0");

        let full_bursts = NET_RING_PACKETS / BURST_MAX;
        for _ in 0..full_bursts {
            assert_eq!(tx.send(&mut frames(&lcore, &pool, BURST_MAX)), BURST_MAX);
        }
        let room = NET_RING_PACKETS - full_bursts * BURST_MAX;
        let mut last = frames(&lcore, &pool, BURST_MAX);

        assert_eq!(tx.send(&mut last), room);
        assert_eq!(last.len(), BURST_MAX - room);
        assert_eq!(
            last[0].frame(),
            [room as u8; 60],
            "the first unsent is the first left"
        );
        assert_eq!(tx.send(&mut last), 0, "and a full ring takes none");

        last.clear();
        let mut received = 0;
        while received < NET_RING_PACKETS {
            let burst = receive(&lcore, &mut rx, 1);
            assert!(!burst.is_empty());
            received += burst.len();
        }
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn a_received_burst_respects_its_limit() {
    in_own_process("queues::a_received_burst_respects_its_limit", || {
        let eal = start(&["net_ring0"]);
        let lcore = eal.main_lcore();
        let pool = pool(&eal, "ring");
        let (_port, mut rx, mut tx) = open(&eal, "net_ring0", &pool).expect("net_ring0");
        assert_eq!(tx.send(&mut frames(&lcore, &pool, 50)), 50);

        let mut burst = MbufBurst::with_limit(&lcore, 32);

        assert_eq!(rx.receive(&mut burst), 32);
        assert_eq!(rx.receive(&mut burst), 0, "full");
        let first = burst.drain().next().expect("a packet");
        assert!(burst.is_empty(), "what was not taken is freed");
        assert_eq!(pool.in_use(), 18 + 1);
        assert!(burst.push(first).is_ok());
        assert_eq!(rx.receive(&mut burst), 18);
        drop(burst);
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn a_header_moves_by_moving_the_window() {
    in_own_process("queues::a_header_moves_by_moving_the_window", || {
        let eal = start(&["net_ring0"]);
        let lcore = eal.main_lcore();
        let pool = pool(&eal, "ring");
        let (_port, mut rx, mut tx) = open(&eal, "net_ring0", &pool).expect("net_ring0");

        let mut burst = frames(&lcore, &pool, 1);
        let Window { buffer, start, len } = burst[0].window();
        assert_eq!((start, len, buffer.len()), (128, 60, 128 + 2048));
        buffer[start - 8..start].copy_from_slice(&[0x88, 0xa8, 0, 100, 0x81, 0, 0, 7]);
        burst[0].set_window(start - 8, len + 8);
        assert_eq!(tx.send(&mut burst), 1);

        let mut received = receive(&lcore, &mut rx, 1);
        assert_eq!(received[0].frame_bytes(), 68);
        assert_eq!(received[0].frame()[..9], [0x88, 0xa8, 0, 100, 0x81, 0, 0, 7, 0]);
    });
}

#[test]
fn a_window_outside_its_buffer_is_refused() {
    in_own_process("queues::a_window_outside_its_buffer_is_refused", || {
        let eal = start(&[]);
        let lcore = eal.main_lcore();
        let pool = pool(&eal, "alone");
        let mut mbuf = pool.allocate_one(&lcore).expect("an mbuf");

        let refused = |mbuf: &mut Mbuf, start, len| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| mbuf.set_window(start, len))).is_err()
        };

        assert!(!refused(&mut mbuf, 0, 2176));
        assert!(refused(&mut mbuf, 1, 2176));
        assert!(refused(&mut mbuf, 2177, 0));
        assert!(refused(&mut mbuf, usize::MAX, 2));
        assert!(
            !mbuf.fill(&[0; 2049]),
            "no room for the frame behind the headroom"
        );
        assert_eq!(mbuf.window().len, 2176, "and nothing was written");
    });
}

#[test]
fn an_empty_pool_gives_all_or_nothing() {
    in_own_process("queues::an_empty_pool_gives_all_or_nothing", || {
        let eal = start(&[]);
        let lcore = eal.main_lcore();
        let pool = pool(&eal, "alone");
        let full_bursts = POOL_MBUFS as usize / BURST_MAX;
        let mut held: Vec<MbufBurst> = (0..full_bursts)
            .map(|_| frames(&lcore, &pool, BURST_MAX))
            .collect();
        let left = POOL_MBUFS as usize - full_bursts * BURST_MAX;

        let mut burst = MbufBurst::new(&lcore);
        assert!(!pool.allocate(&mut burst, left + 1));
        assert!(burst.is_empty());
        assert!(pool.allocate(&mut burst, left));
        assert!(pool.allocate_one(&lcore).is_none());

        held.clear();
        burst.clear();
        assert_eq!(pool.available(), POOL_MBUFS);
    });
}
