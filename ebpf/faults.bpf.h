/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
#pragma once
/*
 * A second look at what parse() has found malformed, or a fragment: is it a datagram of ours all
 * the same? Then it is dropped, under the name that the data plane has for its fault.
 *
 *     parse() ── fine ──▶ judge()
 *             └─ malformed, fragment ──▶ judge_fault() ── of ours ──▶ drop_iphdr, _udplen, _frag
 *                                                      └─ else ─────▶ passes, as parse() said
 *
 * Who is to be harmed by that? Where ports can be read, they decide as they do for a whole
 * datagram. Where they cannot, the address does, and only in shapes of which the kernel makes
 * nothing, for whichever port they are: lengths in the IP header that cannot be, and datagrams that
 * end within their UDP header. Later fragments have no ports and may belong to another program of
 * this host, so they pass; of ours they are of no use without the first.
 *
 * Cost: none for whoever parse() lets through.
 */
#include "ebpf/rules.bpf.h"

#define IPV4_OFFSET_MASK 0x1fff
#define IPV6_OFFSET_MASK 0xfff8

/* <linux/ipv6.h> has none. */
struct fragment_header {
  __u8 next;
  __u8 reserved;
  __be16 offset; /* and, in the lowest bit, whether more follow */
  __be32 identification;
};

/*
 * Both return the fault that the packet has or, for drop_udplen, may have; GO_ON: none for which it
 * may be dropped. Then `cur` is behind the IP headers and `l4_bytes` what they leave for UDP, or 0.
 * `ip_bytes`: of the frame, from the IP header on; `cur` only sees the first buffer.
 */
static __always_inline enum mr_xdp_reason fault_of_ipv4(struct cursor *cur, __u32 ip_bytes,
                                                        struct datagram *dgram, __u32 *l4_bytes) {
  struct iphdr *ip = cursor_peek(cur, sizeof(*ip));
  if (!ip || ip->version != 4 || ip->protocol != IPPROTO_UDP) return GO_ON;
  set_ipv4_ends(dgram, ip);
  __u32 head_bytes = ip->ihl * 4;
  __u32 total_bytes = bpf_ntohs(ip->tot_len);
  if (head_bytes < sizeof(*ip) || total_bytes < head_bytes || total_bytes > ip_bytes)
    return MR_XDP_drop_iphdr;
  if (ip->frag_off & bpf_htons(IPV4_OFFSET_MASK)) return GO_ON;
  enum mr_xdp_reason fault =
      ip->frag_off & bpf_htons(IPV4_FRAGMENT_MASK) ? MR_XDP_drop_frag : MR_XDP_drop_udplen;
  *l4_bytes = total_bytes - head_bytes;
  return cursor_take(cur, head_bytes) ? fault : GO_ON;
}

static __always_inline enum mr_xdp_reason fault_of_ipv6(struct cursor *cur, __u32 ip_bytes,
                                                        struct datagram *dgram, __u32 *l4_bytes) {
  struct ipv6hdr *ip = cursor_take(cur, sizeof(*ip));
  if (!ip || ip->version != 6) return GO_ON;
  set_ipv6_ends(dgram, ip);
  __u32 payload_bytes = bpf_ntohs(ip->payload_len);
  __u8 next = ip->nexthdr;
  if (payload_bytes > ip_bytes - sizeof(*ip))
    return next == IPPROTO_UDP ? MR_XDP_drop_iphdr : GO_ON;
  if (walk_ipv6_options(cur, &next, &payload_bytes) != GO_ON) return GO_ON;
  enum mr_xdp_reason fault = MR_XDP_drop_udplen;
  if (next == IPPROTO_FRAGMENT) {
    struct fragment_header *fragment = cursor_take(cur, sizeof(*fragment));
    if (!fragment || payload_bytes < sizeof(*fragment)) return GO_ON;
    if (fragment->offset & bpf_htons(IPV6_OFFSET_MASK)) return GO_ON;
    payload_bytes -= sizeof(*fragment);
    next = fragment->next;
    fault = MR_XDP_drop_frag;
  }
  *l4_bytes = payload_bytes;
  return next == IPPROTO_UDP ? fault : GO_ON;
}

/* Of a service, whatever its port, or one of those that we ask from. */
static __always_inline int is_own_address(const struct datagram *dgram) {
  __u32 only = 0;
  void *endpoints = bpf_map_lookup_elem(&MR_XDP_RULES, &only);
  if (!endpoints) return 0;
  struct mr_endpoint_key key = dgram->destination;
  key.kind = MR_ENDPOINT_SERVICE_ADDRESS;
  return bpf_map_lookup_elem(endpoints, &key) || own_source(endpoints, dgram);
}

static __always_inline int is_ours(enum mr_xdp_reason verdict) {
  return verdict == MR_XDP_redirected_query || verdict == MR_XDP_redirected_upstream ||
         verdict == MR_XDP_dropped_stray;
}

static __noinline enum mr_xdp_reason judge_fault(struct xdp_md *ctx, enum mr_xdp_reason passed) {
  struct cursor cur = cursor_of(ctx);
  struct datagram dgram = {.protocol = IPPROTO_UDP};
  __u32 beyond_bytes = (__u32)bpf_xdp_get_buff_len(ctx) - cursor_left(&cur);
  __be16 ether_type = 0;
  __u32 l4_bytes = 0;
  enum mr_xdp_reason fault = GO_ON;

  if (parse_l2(&cur, &ether_type) != GO_ON) return passed;
  __u32 ip_bytes = cursor_left(&cur) + beyond_bytes;
  if (ether_type == bpf_htons(ETH_P_IP))
    fault = fault_of_ipv4(&cur, ip_bytes, &dgram, &l4_bytes);
  else if (ether_type == bpf_htons(ETH_P_IPV6))
    fault = fault_of_ipv6(&cur, ip_bytes, &dgram, &l4_bytes);
  if (fault == GO_ON) return passed;

  if (l4_bytes < sizeof(struct udphdr)) return is_own_address(&dgram) ? fault : passed;
  struct udphdr *udp = cursor_peek(&cur, sizeof(*udp));
  if (!udp) return passed;
  __u32 udp_bytes = bpf_ntohs(udp->len);
  if (fault == MR_XDP_drop_udplen && udp_bytes >= sizeof(*udp) && udp_bytes <= l4_bytes)
    return passed;
  dgram.source.port_be = udp->source;
  dgram.destination.port_be = udp->dest;
  return is_ours(judge(ctx, &dgram)) ? fault : passed;
}
