// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/machine.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include <sched.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace millrace::bench {

namespace {

constexpr std::size_t kLargePageBytes = std::size_t{2} << 20;
std::string page_kind = "none";

// A chain that no other work of the core can speed up, with enough of it to fill one core's ports.
uint64_t compute(uint64_t until) {
  uint64_t rounds = 0;
  uint64_t a = 1, b = 2, c = 3, d = 4;
  while (ticks() < until) {
    for (uint32_t i = 0; i < 1000; ++i) {
      a = a * 3 + (b ^ rounds);
      b = (b << 1 ^ c) + i;
      c = (c >> 1 ^ d) + a;
      d = (d + a) ^ b;
    }
    ++rounds;
  }
  volatile uint64_t sink = a ^ b ^ c ^ d;
  static_cast<void>(sink);
  return rounds;
}

std::string first_line_with(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind(key, 0) != 0) continue;
    const std::size_t colon = line.find(':');
    const std::size_t from = line.find_first_not_of(" \t", colon + 1);
    return from == std::string::npos ? "" : line.substr(from);
  }
  return "unknown";
}

std::string cache_sizes() {
  std::string text;
  for (const char* index : {"0", "2", "3"}) {
    std::ifstream in(std::string("/sys/devices/system/cpu/cpu0/cache/index") + index + "/size");
    std::string size;
    if (in >> size) text += (text.empty() ? "" : ", ") + size;
  }
  return text.empty() ? "unknown" : text;
}

}  // namespace

void fail(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::_Exit(1);
}

double ticks_per_ms() {
  static const double rate = [] {
    const auto start = std::chrono::steady_clock::now();
    const uint64_t first = ticks();
    while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(20)) {
    }
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    return static_cast<double>(ticks() - first) / took.count();
  }();
  return rate;
}

void pin_to(uint32_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) fail("cannot run on CPU " + std::to_string(cpu));
}

std::vector<uint32_t> usable_cpus() {
  cpu_set_t set;
  std::vector<uint32_t> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

uint64_t stolen_hundredths(const std::vector<uint32_t>& cpus) {
  std::ifstream in("/proc/stat");
  uint64_t stolen = 0;
  for (std::string line; std::getline(in, line) && line.rfind("cpu", 0) == 0;) {
    std::istringstream words(line.substr(3));
    uint32_t cpu;
    uint64_t spent[8] = {};
    if (line[3] == ' ' || !(words >> cpu)) continue;
    if (std::find(cpus.begin(), cpus.end(), cpu) == cpus.end()) continue;
    for (uint64_t& value : spent)
      words >> value;
    stolen += spent[7];
  }
  return stolen;
}

double speed_beside(uint32_t cpu, uint32_t other) {
  const auto length = static_cast<uint64_t>(ticks_per_ms() * 60);
  pin_to(cpu);
  double best = 0;
  for (uint32_t i = 0; i < 3; ++i) {
    const auto alone = static_cast<double>(compute(ticks() + length));
    uint64_t beside = 0;
    run_both(
        other, [&] { beside = compute(ticks() + length); }, [&] { compute(ticks() + length); });
    best = std::max(best, static_cast<double>(beside) / alone);
  }
  return best;
}

void run_both(uint32_t cpu, const std::function<void()>& here, const std::function<void()>& there) {
  std::atomic<bool> arrived{false};
  std::thread partner([&] {
    pin_to(cpu);
    // Release pairs with the acquire below; only the moment matters.
    arrived.store(true, std::memory_order_release);
    there();
  });
  // Acquire pairs with the release above.
  while (!arrived.load(std::memory_order_acquire)) {
  }
  here();
  partner.join();
}

double flag_round_trip(uint32_t cpu, uint64_t length) {
  struct alignas(128) Flag {
    std::atomic<uint64_t> value{0};
  };
  constexpr uint64_t kEnd = UINT64_MAX;
  Flag out;
  Flag back;
  uint64_t number = 0;
  uint64_t took = 0;
  const auto ask = [&] {
    const uint64_t start = ticks();
    while (took < length) {
      // Release and acquire pair with those of the other side; only the numbers are passed.
      out.value.store(++number, std::memory_order_release);
      while (back.value.load(std::memory_order_acquire) != number) {
      }
      if (number % 64 == 0) took = ticks() - start;
    }
    out.value.store(kEnd, std::memory_order_release);
  };
  run_both(cpu, ask, [&] {
    for (uint64_t seen = 0; seen != kEnd;) {
      const uint64_t now = out.value.load(std::memory_order_acquire);
      if (now == seen) continue;
      seen = now;
      back.value.store(now, std::memory_order_release);
    }
  });
  return static_cast<double>(took) / static_cast<double>(number);
}

LargeMemory::LargeMemory(std::size_t bytes)
    : bytes_((bytes + kLargePageBytes - 1) / kLargePageBytes * kLargePageBytes) {
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
  void* memory = mmap(nullptr, bytes_, kProtection, kFlags | MAP_HUGETLB | MAP_POPULATE, -1, 0);
  if (memory != MAP_FAILED) {
    data_ = static_cast<std::byte*>(memory);
    page_kind = "hugetlb";
    return;
  }
  memory = mmap(nullptr, bytes_ + kLargePageBytes, kProtection, kFlags, -1, 0);
  if (memory == MAP_FAILED) fail("no memory: " + std::to_string(bytes) + " bytes");
  auto* const first = static_cast<std::byte*>(memory);
  const std::size_t ahead = -reinterpret_cast<uintptr_t>(first) % kLargePageBytes;
  data_ = first + ahead;
  if (ahead > 0) munmap(first, ahead);
  if (ahead < kLargePageBytes) munmap(data_ + bytes_, kLargePageBytes - ahead);
  page_kind = madvise(data_, bytes_, MADV_HUGEPAGE) == 0 ? "transparent" : "4 KiB";
  madvise(data_, bytes_, MADV_POPULATE_WRITE);
}

LargeMemory::~LargeMemory() {
  munmap(data_, bytes_);
}

const std::string& LargeMemory::kind() {
  return page_kind;
}

std::vector<std::pair<std::string, std::string>> describe_machine() {
  utsname system{};
  uname(&system);
  std::ostringstream rate;
  rate.precision(4);
  rate << ticks_per_ms() / 1e6 << " GHz";
  const bool guest =
      first_line_with("/proc/cpuinfo", "flags").find(" hypervisor") != std::string::npos;
  return {{"CPU", first_line_with("/proc/cpuinfo", "model name")},
          {"CPUs online", std::to_string(sysconf(_SC_NPROCESSORS_ONLN))},
          {"virtual machine", guest ? "yes" : "no"},
          {"TSC", rate.str()},
          {"caches (L1d, L2, L3)", cache_sizes()},
          {"memory", first_line_with("/proc/meminfo", "MemTotal")},
          {"2 MiB pages reserved", first_line_with("/proc/meminfo", "HugePages_Total")},
          {"kernel", std::string(system.sysname) + " " + system.release},
          {"compiler", "gcc " __VERSION__}};
}

}  // namespace millrace::bench
