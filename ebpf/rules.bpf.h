/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
#pragma once
/*
 * Is this datagram ours? Judged by the endpoints of one generation: the outer map is read once per
 * packet, and a packet that holds an inner map keeps it until the program returns.
 */
#include "ebpf/maps.bpf.h"
#include "ebpf/parse.bpf.h"

/* An answer of a backend to one of our upstream ports and, if asked for, to one of our addresses.
 */
static __always_inline int is_answer(void *endpoints, struct datagram *dgram) {
  dgram->source.kind = MR_ENDPOINT_BACKEND;
  struct mr_endpoint *backend = bpf_map_lookup_elem(endpoints, &dgram->source);
  if (!backend) return 0;
  __u16 port = bpf_ntohs(dgram->destination.port_be);
  if (port < backend->port_first || port >= backend->port_end) return 0;
  if (!(backend->flags & MR_ENDPOINT_CHECK_SOURCE)) return 1;
  dgram->destination.kind = MR_ENDPOINT_SOURCE;
  dgram->destination.port_be = 0;
  return bpf_map_lookup_elem(endpoints, &dgram->destination) != 0;
}

static __always_inline enum mr_xdp_reason judge(struct datagram *dgram) {
  __u32 only = 0;
  void *endpoints = bpf_map_lookup_elem(&MR_XDP_RULES, &only);
  if (!endpoints) return MR_XDP_passed_no_rules;
  dgram->destination.kind = MR_ENDPOINT_SERVICE;
  if (bpf_map_lookup_elem(endpoints, &dgram->destination)) return MR_XDP_redirected_query;
  if (is_answer(endpoints, dgram)) return MR_XDP_redirected_upstream;
  return MR_XDP_passed_addr;
}
