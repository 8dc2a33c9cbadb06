/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Somebody else's XDP program. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

char foreign_license[] SEC("license") = "Dual BSD/GPL";

SEC("xdp")
int somebody_else(struct xdp_md *ctx) {
  (void)ctx;
  return XDP_PASS;
}
