/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The prefilter: gives the data plane the packets that are its own, and the kernel all the rest.
 *
 * README.md lists what happens to which packet; ebpf/abi/xdp_abi.h describes the maps. The program
 * never changes a packet, and drops only what the kernel would answer in our place and what is ours
 * but broken. It takes multi-buffer frames (the "frags" flavour), so that it also attaches natively
 * where the MTU is large and leaves TCP offloads of the peer alone.
 */
#include "ebpf/faults.bpf.h"
#include "ebpf/parse.bpf.h"
#include "ebpf/rules.bpf.h"
#include "ebpf/stats.bpf.h"

char prefilter_license[] SEC("license") = "Dual BSD/GPL";

SEC("xdp.frags")
int MR_XDP_PROGRAM(struct xdp_md *ctx) {
  struct cursor cur = cursor_of(ctx);
  __u32 frame_bytes = cursor_left(&cur);
  struct datagram dgram = {};
  int action = XDP_PASS;

  enum mr_xdp_reason reason = parse(&cur, &dgram);
  if (reason == GO_ON) {
    reason = judge(ctx, &dgram);
  } else {
    barrier_var(reason); /* or the compiler carries the answer below through all of parse() */
    if (reason == MR_XDP_passed_malformed || reason == MR_XDP_passed_fragment)
      reason = judge_fault(ctx, reason);
  }

  if (reason == MR_XDP_redirected_query || reason == MR_XDP_redirected_upstream ||
      reason == MR_XDP_redirected_icmp) {
    if (frame_bytes > MR_XDP_FRAME_BYTES_MAX) {
      reason = MR_XDP_passed_too_long;
    } else {
      /* Says XDP_PASS, and touches nothing, if no socket is bound to the queue. */
      action = (int)bpf_redirect_map(&MR_XDP_XSKS, ctx->rx_queue_index, XDP_PASS);
      if (action != XDP_REDIRECT) reason = MR_XDP_passed_no_socket;
    }
  } else if (reason == MR_XDP_dropped_stray || reason == MR_XDP_drop_iphdr ||
             reason == MR_XDP_drop_udplen || reason == MR_XDP_drop_frag) {
    action = XDP_DROP;
  }

  count(reason);
  return action;
}
