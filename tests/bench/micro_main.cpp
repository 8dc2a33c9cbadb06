// SPDX-License-Identifier: Apache-2.0
// bench-micro: measures the rows of the table and prints them; tools/bench is its front door.

#include "tests/bench/harness.hpp"
#include "tests/bench/machine.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <nlohmann/json.hpp>

namespace millrace::bench {
namespace {

constexpr const char* kUsage =
    "usage: bench-micro [--only ID]... [--quick] [--pairs N] [--slice-ms N] [--cpus A,B]\n"
    "                   [--json FILE] [--list] [--smoke]\n"
    "  --only ID    rows whose id begins with ID (R21, R21.n1); may be repeated\n"
    "  --quick      short slices, and no more than a second of them a row\n"
    "  --smoke      every row once for a moment, small tables, no verdicts\n";

struct Command {
  Options options;
  std::vector<std::string> only;
  std::string json;
  bool list = false;
};

[[noreturn]] void usage() {
  std::fputs(kUsage, stderr);
  std::exit(2);
}

void read_cpus(const std::string& text, Options& options) {
  if (std::sscanf(text.c_str(), "%u,%u", &options.cpu, &options.other_cpu) != 2) usage();
}

Command read_command(int argc, char** argv) {
  Command command;
  const std::vector<uint32_t> cpus = usable_cpus();
  if (cpus.empty()) fail("no CPU may be used");
  command.options.cpu = cpus.front();
  command.options.other_cpu = cpus.back();
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&]() -> std::string { return i + 1 < argc ? argv[++i] : (usage(), ""); };
    if (word == "--only") {
      command.only.push_back(value());
    } else if (word == "--json") {
      command.json = value();
    } else if (word == "--pairs") {
      command.options.pairs = static_cast<uint32_t>(std::strtoul(value().c_str(), nullptr, 10));
    } else if (word == "--slice-ms") {
      command.options.slice_ms = std::strtod(value().c_str(), nullptr);
    } else if (word == "--cpus") {
      read_cpus(value(), command.options);
    } else if (word == "--quick") {
      command.options.slice_ms = 10;
      command.options.row_ms = 1000;
    } else if (word == "--smoke") {
      command.options.smoke = true;
      command.options.pairs = 1;
      command.options.slice_ms = 1;
    } else if (word == "--list") {
      command.list = true;
    } else {
      usage();
    }
  }
  if (command.options.pairs == 0 || command.options.slice_ms <= 0) usage();
  return command;
}

bool wanted(const Command& command, const Row& row) {
  if (command.only.empty()) return true;
  for (const std::string& prefix : command.only) {
    if (row.id.rfind(prefix, 0) == 0) return true;
  }
  return false;
}

// Fewer pairs than this say nothing, whatever their interval.
constexpr uint32_t kPairsMin = 5;

std::string verdict_of(const Row& row, const Result& result, const Options& options) {
  if (options.smoke) return "";
  const bool noisy = !row.figure && result.counted < options.pairs;
  if (noisy && result.counted < kPairsMin) return "too noisy";
  std::string verdict;
  if (row.id.rfind("AA.", 0) == 0) {
    verdict = std::abs(result.value - 1) <= 0.01 ? "ok" : "FAILED: this run proves nothing finer";
  } else if (row.bound != Bound::none) {
    verdict = meets(row, result, row.aim)     ? "aim met"
              : meets(row, result, row.floor) ? "floor met"
                                              : "NOT MET";
  }
  if (!noisy) return verdict;
  return verdict + (verdict.empty() ? "noisy" : ", noisy");
}

void print_row(const Row& row, const Result& result, const std::string& verdict) {
  if (row.figure) {
    std::printf("%-18s %8.2f %-17s", row.id.c_str(), result.value, row.unit.c_str());
  } else {
    std::printf("%-18s %8.3f [%6.3f, %6.3f]", row.id.c_str(), result.value, result.interval.low,
                result.interval.high);
  }
  if (row.bound == Bound::none) {
    std::printf("  %14s", "");
  } else {
    std::printf("  %s %5.2f /%5.2f", row.bound == Bound::at_least ? ">=" : "<=", row.floor,
                row.aim);
  }
  std::printf("  %-10s %s", verdict.c_str(), row.what.c_str());
  if (!row.figure) {
    std::printf(" (%.1f / %.1f ticks; refused %u moved, %u steal, %u spread)", result.above_ticks,
                result.below_ticks, result.moved, result.stolen, result.spread);
  }
  std::printf("\n");
  std::fflush(stdout);
}

nlohmann::ordered_json to_json(const Row& row, const Result& result, const std::string& verdict) {
  const char* const bounds[] = {"at least", "at most", "none"};
  return {{"id", row.id},
          {"what", row.what},
          {"above", row.above},
          {"below", row.below},
          {"unit", row.figure ? row.unit : "ratio"},
          {"bound", bounds[static_cast<uint32_t>(row.bound)]},
          {"floor", row.floor},
          {"aim", row.aim},
          {"value", result.value},
          {"low", result.interval.low},
          {"high", result.interval.high},
          {"above_ticks", result.above_ticks},
          {"below_ticks", result.below_ticks},
          {"pairs", result.counted},
          {"refused_moved", result.moved},
          {"refused_steal", result.stolen},
          {"refused_spread", result.spread},
          {"verdict", verdict}};
}

std::vector<Row> all_rows() {
  std::vector<Row> all;
  for (const auto& rows :
       {ring_rows(), ring_ablation_rows(), lookup_rows(), sharing_rows(), wheel_rows()}) {
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

// Two-core rows need two CPUs that are no siblings.
double probe_cpus(Options& options) {
  if (options.cpu == options.other_cpu) {
    std::printf("one CPU: two-core rows are left out\n");
    return 0;
  }
  if (options.smoke) {
    options.two_cores = true;
    return 1;
  }
  const double speed = speed_beside(options.cpu, options.other_cpu);
  options.two_cores = speed >= kSiblingsBelow;
  std::printf("CPUs %u and %u: each runs at %.2f of its speed beside the other: %s\n", options.cpu,
              options.other_cpu, speed,
              options.two_cores ? "two cores" : "siblings; two-core rows are void and left out");
  return speed;
}

int run(Command& command) {
  const std::vector<Row> rows = all_rows();
  if (command.list) {
    for (const Row& row : rows)
      std::printf("%-18s %s\n", row.id.c_str(), row.what.c_str());
    return 0;
  }
  Options& options = command.options;
  nlohmann::ordered_json report;
  report["speed_beside"] = probe_cpus(options);
  pin_to(options.cpu);
  report["pairs"] = options.pairs;
  report["slice_ms"] = options.slice_ms;
  report["rows"] = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    if (!wanted(command, row) || (row.two_cores && !options.two_cores)) continue;
    const Result result = measure(row, options);
    const std::string verdict = verdict_of(row, result, options);
    print_row(row, result, verdict);
    report["rows"].push_back(to_json(row, result, verdict));
  }
  for (const auto& [name, value] : describe_machine())
    report["machine"][name] = value;
  report["machine"]["pages of the tables"] = LargeMemory::kind();
  if (!command.json.empty()) std::ofstream(command.json) << report.dump(1) << "\n";
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) {
  millrace::bench::Command command = millrace::bench::read_command(argc, argv);
  return millrace::bench::run(command);
}
