/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* An earlier version of the prefilter: its names and its socket map, redirecting everything. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "ebpf/abi/xdp_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, MR_XDP_QUEUES_MAX);
  __type(key, __u32);
  __type(value, __u32);
} MR_XDP_XSKS SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} MR_XDP_RULES SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} MR_XDP_COUNTERS SEC(".maps");

__uint(xsk_prog_version, 1) SEC("xdp_metadata");

char old_prefilter_license[] SEC("license") = "Dual BSD/GPL";

SEC("xdp.frags")
int MR_XDP_PROGRAM(struct xdp_md *ctx) {
  __u32 only = 0;
  __u64 *packets = bpf_map_lookup_elem(&MR_XDP_COUNTERS, &only);
  __u32 *rule = bpf_map_lookup_elem(&MR_XDP_RULES, &only);
  if (!packets || !rule) return XDP_PASS;
  *packets += 1 + *rule;
  return (int)bpf_redirect_map(&MR_XDP_XSKS, ctx->rx_queue_index, XDP_PASS);
}
