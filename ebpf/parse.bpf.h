/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
#pragma once
/*
 * From an Ethernet frame to the two ends of a UDP datagram.
 *
 *     | Ethernet 14 | 802.1Q 0 or 4 | IPv4 20..60, or IPv6 40 + options 0..n | UDP 8 | payload |
 *                                                                            | ICMP 8 | quote |
 *
 * An ICMP error quotes the datagram that it is about, one of the receiver's own. Its quote is read
 * as the answer that will not come: from where the datagram went to, to where it came from.
 *
 * Each step returns MR_XDP_REASON_CNT ("go on") or the reason for which the packet passes.
 * Checksums are left to the data plane. Sources: RFC 791, 792, 768, 4443, 8200; IEEE
 * 802.1Q.
 */
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>

#include "ebpf/abi/xdp_abi.h"
#include "ebpf/cursor.bpf.h"

#define GO_ON MR_XDP_REASON_CNT
#define IPV4_FRAGMENT_MASK 0x3fff /* more fragments, offset */

#define ICMP4_UNREACHABLE 3
#define ICMP4_FRAGMENTATION_NEEDED 4 /* a code of it */
#define ICMP6_UNREACHABLE 1

struct vlan_header {
  __be16 tci;
  __be16 ether_type;
};

/* <linux/icmp.h> wants the C library's headers of a target that is none. */
struct icmp_header {
  __u8 type;
  __u8 code;
  __be16 checksum;
  __be32 unused;
};

/*
 * `source` and `destination` are keys of the endpoints map but for `kind`. `protocol` is UDP, or
 * else they are those of a quote.
 */
struct datagram {
  struct mr_endpoint_key source;
  struct mr_endpoint_key destination;
  __u8 protocol;
};

static __always_inline enum mr_xdp_reason parse_l2(struct cursor *cur, __be16 *ether_type) {
  struct ethhdr *eth = cursor_take(cur, sizeof(*eth));
  if (!eth) return MR_XDP_passed_malformed;
  *ether_type = eth->h_proto;
  if (*ether_type != bpf_htons(ETH_P_8021Q)) return GO_ON;
  struct vlan_header *tag = cursor_take(cur, sizeof(*tag));
  if (!tag) return MR_XDP_passed_malformed;
  *ether_type = tag->ether_type;
  return GO_ON;
}

static __always_inline void set_ipv4_ends(struct datagram *dgram, const struct iphdr *ip) {
  dgram->source.family = 4;
  dgram->destination.family = 4;
  __builtin_memcpy(dgram->source.address, &ip->saddr, sizeof(ip->saddr));
  __builtin_memcpy(dgram->destination.address, &ip->daddr, sizeof(ip->daddr));
}

static __always_inline void set_ipv6_ends(struct datagram *dgram, const struct ipv6hdr *ip) {
  dgram->source.family = 6;
  dgram->destination.family = 6;
  __builtin_memcpy(dgram->source.address, &ip->saddr, sizeof(ip->saddr));
  __builtin_memcpy(dgram->destination.address, &ip->daddr, sizeof(ip->daddr));
}

/* `l4_bytes`: what the IP header leaves for UDP. A frame may be longer (padding), never shorter. */
static __always_inline enum mr_xdp_reason parse_ipv4(struct cursor *cur, struct datagram *dgram,
                                                     __u32 *l4_bytes) {
  struct iphdr *ip = cursor_peek(cur, sizeof(*ip));
  if (!ip || ip->version != 4) return MR_XDP_passed_malformed;
  __u32 head_bytes = ip->ihl * 4;
  __u32 total_bytes = bpf_ntohs(ip->tot_len);
  if (head_bytes < sizeof(*ip) || total_bytes < head_bytes || total_bytes > cursor_left(cur))
    return MR_XDP_passed_malformed;
  if (ip->frag_off & bpf_htons(IPV4_FRAGMENT_MASK)) return MR_XDP_passed_fragment;
  if (ip->protocol != IPPROTO_UDP && ip->protocol != IPPROTO_ICMP) return MR_XDP_passed_proto;
  dgram->protocol = ip->protocol;
  set_ipv4_ends(dgram, ip);
  *l4_bytes = total_bytes - head_bytes;
  return cursor_take(cur, head_bytes) ? GO_ON : MR_XDP_passed_malformed;
}

/* Walks hop-by-hop and destination options, each a multiple of 8 bytes. */
static __always_inline enum mr_xdp_reason walk_ipv6_options(struct cursor *cur, __u8 *next,
                                                            __u32 *l4_bytes) {
#pragma unroll
  for (int i = 0; i < MR_XDP_EXT_HEADERS_MAX; ++i) {
    if (*next != IPPROTO_HOPOPTS && *next != IPPROTO_DSTOPTS) return GO_ON;
    struct ipv6_opt_hdr *option = cursor_peek(cur, sizeof(*option));
    if (!option) return MR_XDP_passed_malformed;
    __u32 bytes = ((__u32)option->hdrlen + 1) * 8;
    *next = option->nexthdr;
    if (bytes > *l4_bytes || !cursor_take(cur, bytes)) return MR_XDP_passed_malformed;
    *l4_bytes -= bytes;
  }
  return GO_ON;
}

static __always_inline enum mr_xdp_reason parse_ipv6(struct cursor *cur, struct datagram *dgram,
                                                     __u32 *l4_bytes) {
  struct ipv6hdr *ip = cursor_take(cur, sizeof(*ip));
  if (!ip || ip->version != 6) return MR_XDP_passed_malformed;
  *l4_bytes = bpf_ntohs(ip->payload_len);
  if (*l4_bytes > cursor_left(cur)) return MR_XDP_passed_malformed;
  __u8 next = ip->nexthdr;
  enum mr_xdp_reason reason = walk_ipv6_options(cur, &next, l4_bytes);
  if (reason != GO_ON) return reason;
  switch (next) {
    case IPPROTO_UDP:
    case IPPROTO_ICMPV6: break;
    case IPPROTO_FRAGMENT: return MR_XDP_passed_fragment;
    case IPPROTO_HOPOPTS:
    case IPPROTO_ROUTING:
    case IPPROTO_AH:
    case IPPROTO_DSTOPTS:
    case IPPROTO_MH: return MR_XDP_passed_ext_header;
    default: return MR_XDP_passed_proto;
  }
  dgram->protocol = next;
  set_ipv6_ends(dgram, ip);
  return GO_ON;
}

static __always_inline enum mr_xdp_reason parse_udp(struct cursor *cur, struct datagram *dgram,
                                                    __u32 l4_bytes) {
  struct udphdr *udp = cursor_peek(cur, sizeof(*udp));
  if (!udp) return MR_XDP_passed_malformed;
  __u32 udp_bytes = bpf_ntohs(udp->len);
  if (udp_bytes < sizeof(*udp) || udp_bytes > l4_bytes) return MR_XDP_passed_malformed;
  dgram->source.port_be = udp->source;
  dgram->destination.port_be = udp->dest;
  return GO_ON;
}

/*
 * Fragmentation needed is none of these: path MTUs are not learnt, since anybody can make them up.
 * What is not such an error, or quotes no query of ours (which have no options), is the kernel's.
 */
static __always_inline enum mr_xdp_reason parse_icmp4(struct cursor *cur, struct datagram *dgram,
                                                      __u32 l4_bytes) {
  struct {
    struct icmp_header icmp;
    struct iphdr ip;
    struct udphdr udp;
  } *error = cursor_peek(cur, sizeof(*error));
  if (!error || l4_bytes < sizeof(*error)) return MR_XDP_passed_proto;
  if (error->icmp.type != ICMP4_UNREACHABLE || error->icmp.code == ICMP4_FRAGMENTATION_NEEDED)
    return MR_XDP_passed_proto;
  if (error->ip.version != 4 || error->ip.ihl != 5 || error->ip.protocol != IPPROTO_UDP)
    return MR_XDP_passed_proto;
  __builtin_memcpy(dgram->source.address, &error->ip.daddr, sizeof(error->ip.daddr));
  __builtin_memcpy(dgram->destination.address, &error->ip.saddr, sizeof(error->ip.saddr));
  dgram->source.port_be = error->udp.dest;
  dgram->destination.port_be = error->udp.source;
  return GO_ON;
}

static __always_inline enum mr_xdp_reason parse_icmp6(struct cursor *cur, struct datagram *dgram,
                                                      __u32 l4_bytes) {
  struct {
    struct icmp_header icmp;
    struct ipv6hdr ip;
    struct udphdr udp;
  } *error = cursor_peek(cur, sizeof(*error));
  if (!error || l4_bytes < sizeof(*error)) return MR_XDP_passed_proto;
  if (error->icmp.type != ICMP6_UNREACHABLE) return MR_XDP_passed_proto;
  if (error->ip.version != 6 || error->ip.nexthdr != IPPROTO_UDP) return MR_XDP_passed_proto;
  __builtin_memcpy(dgram->source.address, &error->ip.daddr, sizeof(error->ip.daddr));
  __builtin_memcpy(dgram->destination.address, &error->ip.saddr, sizeof(error->ip.saddr));
  dgram->source.port_be = error->udp.dest;
  dgram->destination.port_be = error->udp.source;
  return GO_ON;
}

static __always_inline enum mr_xdp_reason parse(struct cursor *cur, struct datagram *dgram) {
  __be16 ether_type = 0;
  __u32 l4_bytes = 0;
  enum mr_xdp_reason reason = parse_l2(cur, &ether_type);
  if (reason != GO_ON) return reason;
  if (ether_type == bpf_htons(ETH_P_IP))
    reason = parse_ipv4(cur, dgram, &l4_bytes);
  else if (ether_type == bpf_htons(ETH_P_IPV6))
    reason = parse_ipv6(cur, dgram, &l4_bytes);
  else
    reason = MR_XDP_passed_l2;
  if (reason != GO_ON) return reason;
  if (dgram->protocol == IPPROTO_UDP) return parse_udp(cur, dgram, l4_bytes);
  return dgram->destination.family == 4 ? parse_icmp4(cur, dgram, l4_bytes)
                                        : parse_icmp6(cur, dgram, l4_bytes);
}
