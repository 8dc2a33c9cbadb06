/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
#pragma once
/*
 * Is this datagram ours? Judged by the endpoints of one generation: the outer map is read once per
 * packet, and a packet that holds an inner map keeps it until the program returns.
 */
#include "ebpf/maps.bpf.h"
#include "ebpf/parse.bpf.h"

static __always_inline int is_upstream_port(const struct mr_endpoint *endpoint, __be16 port_be) {
  __u16 port = bpf_ntohs(port_be);
#pragma unroll
  for (int i = 0; i < MR_XDP_PORT_RANGES_MAX; ++i) {
    if (port >= endpoint->ports[i].first && port < endpoint->ports[i].end) return 1;
  }
  return 0;
}

/* The row of the destination among our addresses towards backends. */
static __always_inline struct mr_endpoint *own_source(void *endpoints,
                                                      const struct datagram *dgram) {
  struct mr_endpoint_key key = dgram->destination;
  key.kind = MR_ENDPOINT_SOURCE;
  key.port_be = 0;
  return bpf_map_lookup_elem(endpoints, &key);
}

/* An answer of a backend to one of our upstream ports and, if asked for, to one of our addresses.
 */
static __always_inline int is_answer(void *endpoints, struct datagram *dgram) {
  dgram->source.kind = MR_ENDPOINT_BACKEND;
  struct mr_endpoint *backend = bpf_map_lookup_elem(endpoints, &dgram->source);
  if (!backend || !is_upstream_port(backend, dgram->destination.port_be)) return 0;
  return !(backend->flags & MR_ENDPOINT_CHECK_SOURCE) || own_source(endpoints, dgram);
}

/* Whether a socket of the kernel would take the datagram. */
static __always_inline int has_socket(struct xdp_md *ctx, const struct datagram *dgram) {
  struct bpf_sock_tuple tuple = {};
  __u32 bytes;
  if (dgram->destination.family == 4) {
    __builtin_memcpy(&tuple.ipv4.saddr, dgram->source.address, sizeof(tuple.ipv4.saddr));
    __builtin_memcpy(&tuple.ipv4.daddr, dgram->destination.address, sizeof(tuple.ipv4.daddr));
    tuple.ipv4.sport = dgram->source.port_be;
    tuple.ipv4.dport = dgram->destination.port_be;
    bytes = sizeof(tuple.ipv4);
  } else {
    __builtin_memcpy(tuple.ipv6.saddr, dgram->source.address, sizeof(tuple.ipv6.saddr));
    __builtin_memcpy(tuple.ipv6.daddr, dgram->destination.address, sizeof(tuple.ipv6.daddr));
    tuple.ipv6.sport = dgram->source.port_be;
    tuple.ipv6.dport = dgram->destination.port_be;
    bytes = sizeof(tuple.ipv6);
  }
  struct bpf_sock *sk = bpf_sk_lookup_udp(ctx, &tuple, bytes, BPF_F_CURRENT_NETNS, 0);
  if (!sk) return 0;
  bpf_sk_release(sk);
  return 1;
}

/*
 * To an upstream port of ours, from nobody who was asked. The kernel knows of no such port and
 * would answer with ICMP, from which others learn about our ports (Man et al., CCS 2020). A program
 * of this host that has got the port goes on to be served.
 */
static __always_inline int is_stray(struct xdp_md *ctx, void *endpoints,
                                    const struct datagram *dgram) {
  struct mr_endpoint *own = own_source(endpoints, dgram);
  return own && is_upstream_port(own, dgram->destination.port_be) && !has_socket(ctx, dgram);
}

static __always_inline enum mr_xdp_reason judge(struct xdp_md *ctx, struct datagram *dgram) {
  __u32 only = 0;
  void *endpoints = bpf_map_lookup_elem(&MR_XDP_RULES, &only);
  if (!endpoints) return MR_XDP_passed_no_rules;
  if (dgram->protocol != IPPROTO_UDP)
    return is_answer(endpoints, dgram) ? MR_XDP_redirected_icmp : MR_XDP_passed_proto;
  dgram->destination.kind = MR_ENDPOINT_SERVICE;
  if (bpf_map_lookup_elem(endpoints, &dgram->destination)) return MR_XDP_redirected_query;
  if (is_answer(endpoints, dgram)) return MR_XDP_redirected_upstream;
  if (is_stray(ctx, endpoints, dgram)) return MR_XDP_dropped_stray;
  return MR_XDP_passed_addr;
}
