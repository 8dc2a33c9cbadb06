/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
#pragma once
/*
 * What the prefilter and its loader agree on: map names, sizes, keys, values, reasons.
 *
 * The only header included by all three of BPF, C and C++; needs nothing but <linux/types.h>.
 * Byte order is in the field name: `_be` is network order, everything else is host order.
 *
 *     mr_rules     ARRAY_OF_MAPS[1]  [0] -> endpoints of one generation, swapped whole
 *     endpoints    HASH              mr_endpoint_key -> mr_endpoint
 *     mr_counters  PERCPU_ARRAY      enum mr_xdp_reason -> packets (__u64)
 *     xsks_map     XSKMAP            rx queue -> AF_XDP socket, filled by the data plane
 *
 * The program's and the socket map's names are those that libxdp, and so DPDK's net_af_xdp, looks
 * for on an interface that has a program already.
 */
#include <linux/types.h>

/* Raised whenever anything in this file or the order of xdp_reasons.def changes. */
#define MR_XDP_ABI_VERSION 3

#define MR_XDP_PROGRAM xsk_def_prog
#define MR_XDP_XSKS xsks_map
#define MR_XDP_RULES mr_rules
#define MR_XDP_COUNTERS mr_counters

#define MR_XDP_QUEUES_MAX 64
/* 32 services and their addresses, 32 backends, 32 sources (dataplane/abi/config_image.hpp) and the
 * generation's row are 129; the rest is for those of former configs. */
#define MR_XDP_ENDPOINTS_MAX 512
/* Of one backend or source: the running config's ports, and those that former ones asked from. */
#define MR_XDP_PORT_RANGES_MAX 5
/* A longer frame may not fit in an AF_XDP frame of 2 KiB behind its head room: it passes. */
#define MR_XDP_FRAME_BYTES_MAX 1792
/* IPv6 hop-by-hop and destination option headers that are walked in front of UDP. */
#define MR_XDP_EXT_HEADERS_MAX 4

/* Every member has a size and a place; the asserts below hold for BPF, C and C++ alike. */
#ifdef __cplusplus
#define MR_LAYOUT(condition) static_assert(condition, #condition)
#else
#define MR_LAYOUT(condition) _Static_assert(condition, #condition)
#endif

enum mr_endpoint_kind {
  MR_ENDPOINT_GENERATION = 0, /* the rest of the key is zero; exactly one row in every map */
  MR_ENDPOINT_SERVICE = 1,    /* destination of a query */
  MR_ENDPOINT_BACKEND = 2,    /* source of an answer to [port_first, port_end) */
  MR_ENDPOINT_SOURCE = 3,     /* of our queries; port_be = 0, its ports are the value's */
  MR_ENDPOINT_SERVICE_ADDRESS = 4, /* that some service has, whatever its port; port_be = 0 */
};

/* IPv4 stands in the first four bytes of `address`, the rest is zero. */
struct mr_endpoint_key {
  __u8 kind;
  __u8 family; /* 4 or 6 */
  __be16 port_be;
  __u8 address[16];
};
MR_LAYOUT(sizeof(struct mr_endpoint_key) == 20);
MR_LAYOUT(__builtin_offsetof(struct mr_endpoint_key, kind) == 0);
MR_LAYOUT(__builtin_offsetof(struct mr_endpoint_key, family) == 1);
MR_LAYOUT(__builtin_offsetof(struct mr_endpoint_key, port_be) == 2);
MR_LAYOUT(__builtin_offsetof(struct mr_endpoint_key, address) == 4);

/* MR_ENDPOINT_BACKEND: the destination has to be an MR_ENDPOINT_SOURCE row too. */
#define MR_ENDPOINT_CHECK_SOURCE (1u << 0)

/* [first, end); both 0: none. */
struct mr_port_range {
  __u16 first;
  __u16 end;
};

struct mr_endpoint {
  __u64 generation; /* of the map that this row is in */
  __u32 flags;
  struct mr_port_range ports[MR_XDP_PORT_RANGES_MAX]; /* ours upstream; of BACKEND and SOURCE */
};
MR_LAYOUT(sizeof(struct mr_port_range) == 4);
MR_LAYOUT(__builtin_offsetof(struct mr_port_range, first) == 0);
MR_LAYOUT(__builtin_offsetof(struct mr_port_range, end) == 2);
MR_LAYOUT(sizeof(struct mr_endpoint) == 32);
MR_LAYOUT(__builtin_offsetof(struct mr_endpoint, generation) == 0);
MR_LAYOUT(__builtin_offsetof(struct mr_endpoint, flags) == 8);
MR_LAYOUT(__builtin_offsetof(struct mr_endpoint, ports) == 12);

/* Why a packet went where it went; the index of its counter. */
enum mr_xdp_reason {
#define MR_XDP_REASON(name, text) MR_XDP_##name,
#include "ebpf/abi/xdp_reasons.def"
#undef MR_XDP_REASON
  MR_XDP_REASON_CNT
};
