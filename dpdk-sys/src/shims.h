/*
 * DPDK's data path is static inline C, which has no symbol to link against. Each function here is one such inline
 * under the name shim_<its DPDK name>, called once a burst (never once a packet): the call costs about a
 * nanosecond and is spread over the burst.
 */
#ifndef SLUICE_DPDK_SHIMS_H
#define SLUICE_DPDK_SHIMS_H

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_thash.h>

/* Data path, a burst at a time. */
uint16_t shim_rte_eth_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
uint16_t shim_rte_eth_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
int shim_rte_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count);
void shim_rte_pktmbuf_free(struct rte_mbuf *mbuf);

/* Handing mbufs from the lcore that receives to the lcore that owns the session. Both return what was moved. */
unsigned int shim_rte_ring_sp_enqueue_burst(struct rte_ring *ring, void *const *objects, unsigned int count);
unsigned int shim_rte_ring_sc_dequeue_burst(struct rte_ring *ring, void **objects, unsigned int count);
unsigned int shim_rte_ring_count(const struct rte_ring *ring);

/* Thread-local state that DPDK exports as TLS variables. */
unsigned int shim_rte_lcore_id(void);
int shim_rte_errno(void);

/* A NIC's hash, as DPDK works it out: `words` of 32 bits in this machine's order, and a key in the NIC's. */
uint32_t shim_rte_softrss(uint32_t *input, uint32_t words, const uint8_t *key);

/* The cycle counter, for architectures where Rust has no intrinsic. */
uint64_t shim_rte_rdtsc(void);

#endif
