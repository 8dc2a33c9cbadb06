/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
#pragma once
/*
 * Walks a frame front to back: every step checks its own bounds, and none reads a byte outside.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct cursor {
  void *pos;
  void *end;
};

static __always_inline struct cursor cursor_of(struct xdp_md *ctx) {
  struct cursor cur = {.pos = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end};
  return cur;
}

/* The next `bytes` bytes, which stay where the cursor is; 0 if the frame ends before. */
static __always_inline void *cursor_peek(const struct cursor *cur, __u32 bytes) {
  return cur->pos + bytes <= cur->end ? cur->pos : 0;
}

/* The same, and moves behind them. */
static __always_inline void *cursor_take(struct cursor *cur, __u32 bytes) {
  void *at = cursor_peek(cur, bytes);
  if (at) cur->pos += bytes;
  return at;
}

static __always_inline __u32 cursor_left(const struct cursor *cur) {
  return (__u32)(cur->end - cur->pos);
}
