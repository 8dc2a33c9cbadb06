// SPDX-License-Identifier: Apache-2.0
#pragma once
// The memory that lock-free code runs on, as a template parameter.
//
// A ring, a seqlock or a grace period takes its atomics from a policy class. The appliance uses
// StdAtomics, which is std::atomic and nothing else. The tests use a modelled memory that stops
// before every access, tries every schedule and every value that the C++ memory model lets a load
// return, and reports plain accesses that race (tests/support/interleave.hpp).
//
// No policy offers a fence: the code here is written with ordered loads, stores and read-modify-
// writes alone, which cost the same on x86-64 and which ThreadSanitizer understands.

#include <atomic>

namespace millrace {

struct StdAtomics {
  template <class T>
  using Atomic = std::atomic<T>;

  // Memory that one thread at a time may touch; handing it over is the job of an Atomic.
  template <class T>
  using Plain = T;
};

}  // namespace millrace
