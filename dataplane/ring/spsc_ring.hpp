// SPDX-License-Identifier: Apache-2.0
#pragma once
// Contract only; the implementation replaces this comment's class sketch.
//
//   template <class T, uint32_t kSlots = 512> class SpscRing {  // T: 64 bytes, trivially copyable
//    public:
//     bool push(const T&) noexcept;                      // producer; false: full
//     void flush() noexcept;                             // producer: publish what push() buffered
//     uint32_t pop(T* out, uint32_t max) noexcept;       // consumer; returns how many
//     bool empty() const noexcept;                       // consumer
//   };
