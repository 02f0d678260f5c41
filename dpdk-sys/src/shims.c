#include <stddef.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include "shims.h"

uint16_t shim_rte_eth_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, mbufs, count);
}

uint16_t shim_rte_eth_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, mbufs, count);
}

int shim_rte_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, count);
}

void shim_rte_pktmbuf_free(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
}

unsigned int shim_rte_ring_sp_enqueue_burst(struct rte_ring *ring, void *const *objects, unsigned int count)
{
	return rte_ring_sp_enqueue_burst(ring, objects, count, NULL);
}

unsigned int shim_rte_ring_sc_dequeue_burst(struct rte_ring *ring, void **objects, unsigned int count)
{
	return rte_ring_sc_dequeue_burst(ring, objects, count, NULL);
}

unsigned int shim_rte_ring_count(const struct rte_ring *ring)
{
	return rte_ring_count(ring);
}

unsigned int shim_rte_lcore_id(void)
{
	return rte_lcore_id();
}

int shim_rte_errno(void)
{
	return rte_errno;
}

uint32_t shim_rte_softrss(uint32_t *input, uint32_t words, const uint8_t *key)
{
	return rte_softrss(input, words, key);
}

uint64_t shim_rte_rdtsc(void)
{
	return rte_rdtsc();
}

/*
 * The C compiler's half of src/layout.rs: the same numbers, so that a build fails where libclang (which bindgen
 * asks) and the compiler that made these shims disagree about rte_mbuf.
 */
#define MBUF_FIELD(field, offset) \
	_Static_assert(offsetof(struct rte_mbuf, field) == (offset), "rte_mbuf." #field " has moved")

MBUF_FIELD(buf_addr, 0);
MBUF_FIELD(data_off, 16);
MBUF_FIELD(refcnt, 18);
MBUF_FIELD(nb_segs, 20);
MBUF_FIELD(port, 22);
MBUF_FIELD(ol_flags, 24);
MBUF_FIELD(packet_type, 32);
MBUF_FIELD(pkt_len, 36);
MBUF_FIELD(data_len, 40);
MBUF_FIELD(vlan_tci, 42);
MBUF_FIELD(hash, 44);
MBUF_FIELD(vlan_tci_outer, 52);
MBUF_FIELD(buf_len, 54);
MBUF_FIELD(pool, 56);
_Static_assert(sizeof(struct rte_mbuf) == 128, "rte_mbuf is no longer two cache lines");
