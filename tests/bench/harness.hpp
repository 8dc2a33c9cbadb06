// SPDX-License-Identifier: Apache-2.0
#pragma once
// Rows of the benchmark table, and how one row is measured.
//
// A row is a ratio of two sides that do the same work, or a single figure. Sides run in one
// process, pinned, in the order A B B A (statistics.hpp), each for one slice of time. A pair counts
// unless time was stolen, or one side disagrees with itself, or a hypervisor had put the two CPUs
// onto one core (which it may do at any time, so it is looked at after every pair); rows go on
// until enough pairs count or too many have been refused. A row whose target is a lower bound meets
// it when the lower end of the interval does.
//
// Threads: rows run on the calling thread, pinned to Options::cpu; two-core rows also use
// Options::other_cpu. Failure: a side that reads a wrong value ends the process (fail()).

#include "tests/bench/statistics.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace millrace::bench {

struct Options {
  uint32_t pairs = 15;
  double slice_ms = 200;
  double row_ms = 0;  // no pair is begun later in a row; 0: no limit
  uint32_t cpu = 0;
  uint32_t other_cpu = 0;
  bool two_cores = false;  // there are two CPUs, and they are no siblings
  bool smoke = false;      // small tables: does everything run, not how fast
};

// Works for about this many ticks; returns the ticks that one operation took.
using Side = std::function<double(uint64_t ticks)>;

// The value of a row is ticks per operation of `above` over those of `below`. The sides keep what
// they need alive; a row's memory goes when they do.
struct Sides {
  Side above;
  Side below;
};

enum class Bound : uint8_t { at_least, at_most, none };

struct Row {
  std::string id;     // "R21.n1"; the part before the dot is the number of the target
  std::string what;   // one line: what is divided by what
  std::string above;  // what one operation of each side is, for the report
  std::string below = {};
  Bound bound = Bound::none;
  double floor = 0;
  double aim = 0;
  bool two_cores = false;
  std::function<Sides(const Options&)> sides = {};    // a ratio; or
  std::function<double(const Options&)> figure = {};  // a single figure, in `unit`
  std::string unit = {};
};

struct Result {
  double value = 0;
  Interval interval{};
  double above_ticks = 0;  // medians
  double below_ticks = 0;
  uint32_t counted = 0;
  uint32_t moved = 0;  // refused, by reason
  uint32_t stolen = 0;
  uint32_t spread = 0;
};

Result measure(const Row& row, const Options& options);

// Does the whole interval keep the bound?
bool meets(const Row& row, const Result& result, double target);

// The rows of each file.
std::vector<Row> ring_rows();
std::vector<Row> ring_ablation_rows();
std::vector<Row> lookup_rows();
std::vector<Row> sharing_rows();
std::vector<Row> wheel_rows();

}  // namespace millrace::bench
