/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
#pragma once
/* The maps of ebpf/abi/xdp_abi.h, and what libxdp wants to see in the object. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "ebpf/abi/xdp_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, MR_XDP_QUEUES_MAX);
  __type(key, __u32);
  __type(value, __u32);
} MR_XDP_XSKS SEC(".maps");

/* Sizes instead of types: clang 14 emits no complete BTF for a struct named in here. */
struct mr_endpoints_map {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, MR_XDP_ENDPOINTS_MAX);
  __uint(key_size, sizeof(struct mr_endpoint_key));
  __uint(value_size, sizeof(struct mr_endpoint));
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u32);
  __array(values, struct mr_endpoints_map);
} MR_XDP_RULES SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, MR_XDP_REASON_CNT);
  __type(key, __u32);
  __type(value, __u64);
} MR_XDP_COUNTERS SEC(".maps");

/* By this libxdp knows a program that it may put its sockets under. */
__uint(xsk_prog_version, 1) SEC("xdp_metadata");

/* Puts the shared types into the object's BTF, where tests/bpf compares them with the loader's. */
const struct {
  struct mr_endpoint_key key;
  struct mr_endpoint endpoint;
  enum mr_endpoint_kind kind;
  enum mr_xdp_reason reason;
} mr_shared_types SEC("mr_metadata") = {};
