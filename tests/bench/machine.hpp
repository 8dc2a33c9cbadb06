// SPDX-License-Identifier: Apache-2.0
#pragma once
// The machine under the benchmarks: clock, pinning, stolen time, siblings, large pages.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <x86intrin.h>

namespace millrace::bench {

// The unit of all times here. Not serializing: what is measured is long against the pipeline.
inline uint64_t ticks() noexcept {
  return __rdtsc();
}

double ticks_per_ms();

void pin_to(uint32_t cpu);

// CPUs that this process may run on.
std::vector<uint32_t> usable_cpus();

// Stolen time of these CPUs since boot, in 1/100 s.
uint64_t stolen_hundredths(const std::vector<uint32_t>& cpus);

// How fast each of two CPUs runs while both compute, against one alone: 1 for two cores, near 0.6
// for two threads of one core, whatever a hypervisor says about its topology.
double speed_beside(uint32_t cpu, uint32_t other);
inline constexpr double kSiblingsBelow = 0.85;

// Runs both at once, `here` on this thread's CPU and `there` on `cpu`, and returns when both ended.
void run_both(uint32_t cpu, const std::function<void()>& here, const std::function<void()>& there);

// Ticks of a number's way to `cpu` and back, on one line each way. Some 100 between siblings,
// several hundred between cores.
double flag_round_trip(uint32_t cpu, uint64_t length);
inline constexpr double kSiblingsRoundTrip = 300;

// Zeroed memory on 2 MiB pages, from hugetlbfs if it has some, else as transparent huge pages. Ends
// the process when there is not enough.
class LargeMemory {
 public:
  explicit LargeMemory(std::size_t bytes);
  ~LargeMemory();
  LargeMemory(const LargeMemory&) = delete;
  LargeMemory& operator=(const LargeMemory&) = delete;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

  // Which pages the last of them got: "hugetlb", "transparent", "4 KiB".
  static const std::string& kind();

 private:
  std::byte* data_;
  std::size_t bytes_;
};

// (name, value), for the head of the report.
std::vector<std::pair<std::string, std::string>> describe_machine();

// Ends the process: a benchmark that computes wrong values has no speed.
[[noreturn]] void fail(const std::string& why);

}  // namespace millrace::bench
