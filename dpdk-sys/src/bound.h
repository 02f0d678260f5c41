/* What bindgen reads. The allowlist in build.rs picks from it; shims.h adds the static inlines. */
#include <rte_config.h>
#include <rte_common.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_telemetry.h>
#include <rte_version.h>
#include "shims.h"

/*
 * bindgen evaluates constants but not macros that expand to casts and function-like macros. The name is DPDK's
 * without its RTE_ prefix (a constant may not bear the name of a macro).
 */
static const uint64_t MBUF_F_RX_VLAN = RTE_MBUF_F_RX_VLAN;
static const uint64_t MBUF_F_RX_VLAN_STRIPPED = RTE_MBUF_F_RX_VLAN_STRIPPED;
static const uint64_t MBUF_F_RX_QINQ = RTE_MBUF_F_RX_QINQ;
static const uint64_t MBUF_F_RX_QINQ_STRIPPED = RTE_MBUF_F_RX_QINQ_STRIPPED;
static const uint64_t MBUF_F_EXTERNAL = RTE_MBUF_F_EXTERNAL;
static const uint64_t MBUF_F_INDIRECT = RTE_MBUF_F_INDIRECT;

static const uint64_t ETH_RSS_IPV4 = RTE_ETH_RSS_IPV4;
static const uint64_t ETH_RSS_FRAG_IPV4 = RTE_ETH_RSS_FRAG_IPV4;
static const uint64_t ETH_RSS_NONFRAG_IPV4_TCP = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
static const uint64_t ETH_RSS_NONFRAG_IPV4_UDP = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
static const uint64_t ETH_RSS_NONFRAG_IPV4_SCTP = RTE_ETH_RSS_NONFRAG_IPV4_SCTP;
static const uint64_t ETH_RSS_NONFRAG_IPV4_OTHER = RTE_ETH_RSS_NONFRAG_IPV4_OTHER;
static const uint64_t ETH_RSS_L3_SRC_ONLY = RTE_ETH_RSS_L3_SRC_ONLY;
static const uint64_t ETH_RSS_L3_DST_ONLY = RTE_ETH_RSS_L3_DST_ONLY;

static const uint32_t RING_F_SP_ENQUEUE_SC_DEQUEUE = RING_F_SP_ENQ | RING_F_SC_DEQ;
static const uint32_t MEMPOOL_NAME_BYTES = RTE_MEMPOOL_NAMESIZE;
static const uint32_t RING_NAME_BYTES = RTE_RING_NAMESIZE;
