/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
#pragma once
/* One counter per reason and CPU. Nothing else runs on this CPU meanwhile, so a plain add will do.
 */
#include "ebpf/maps.bpf.h"

static __always_inline void count(__u32 reason) {
  __u64 *packets = bpf_map_lookup_elem(&MR_XDP_COUNTERS, &reason);
  if (packets) ++*packets;
}
