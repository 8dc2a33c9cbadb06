// SPDX-License-Identifier: Apache-2.0
// cache-sim: traces through eviction policies and through the real cache. See README.md.
//
//   cache-sim compare   the table of policies, and R18
//   cache-sim size      how big a cache is needed
#include "tests/sim/cache/report.hpp"

#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>

namespace {

using namespace millrace::cachesim;

struct Options {
  uint64_t seed = 1;
  std::string json_file, svg_file;
  bool quick = false;
  TracePlan plan;
  std::string ttl_mix = "dns";
  double one_hit_percent = 10;
  uint32_t seconds = 0;
};

// More queries than this take minutes for each size.
constexpr uint64_t kQueriesMax = 100'000'000;
constexpr uint32_t kSecondsMax = 3600;

void write(const std::string& file, const std::string& text) {
  if (file.empty()) return;
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.close();
  if (!out) throw std::runtime_error("cannot write " + file);
}

void tell(const char* what, const std::string& name) {
  static const auto start = std::chrono::steady_clock::now();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  std::fprintf(stderr, "%5.0f s  %s %s\n", passed.count(), what, name.c_str());
}

int compare_policies(const Options& options) {
  const uint32_t queries = options.quick ? 800'000 : 3'000'000;
  const uint32_t names = options.quick ? 200'000 : 1'000'000;
  const std::vector<uint64_t> sizes =
      options.quick ? std::vector<uint64_t>{8, 16} : std::vector<uint64_t>{16, 32};
  const std::vector<uint64_t> more =
      options.quick ? std::vector<uint64_t>{4, 32} : std::vector<uint64_t>{8, 64, 128};
  std::vector<Comparison> all, sweep;
  for (const TracePlan& plan : standard_plans(queries, names)) {
    tell("trace", plan.name + ": " + plan.about);
    const Trace trace = make_trace(plan, options.seed);
    const auto here = compare(trace, sizes);
    all.insert(all.end(), here.begin(), here.end());
    if (plan.name != "dns" || options.svg_file.empty()) continue;
    sweep = compare(trace, more);
    sweep.insert(sweep.end(), here.begin(), here.end());
    std::sort(sweep.begin(), sweep.end(),
              [](const Comparison& a, const Comparison& b) { return a.mib < b.mib; });
  }
  std::printf("%s", table_of(all, !options.quick).c_str());
  write(options.json_file, json_of(all, options.seed));
  if (!sweep.empty()) write(options.svg_file, plot_of(sweep));
  return 0;
}

int find_size(Options& options) {
  TracePlan& plan = options.plan;
  const auto ttls = ttl_mix_of(options.ttl_mix);
  if (!ttls) {
    std::fprintf(stderr, "cache-sim: --ttl-mix is dns, short or SECONDS[:WEIGHT],..., not '%s'\n",
                 options.ttl_mix.c_str());
    return 2;
  }
  plan.ttls = *ttls;
  plan.one_hit_per_mille = static_cast<uint32_t>(options.one_hit_percent * 10);
  const uint64_t wanted = uint64_t{plan.qps} * (options.seconds ? options.seconds : kSecondsMax);
  const uint64_t bound = options.seconds ? kQueriesMax : options.quick ? 1'000'000 : 10'000'000;
  plan.queries = static_cast<uint32_t>(std::min(wanted, bound));
  std::printf("%u names, Zipf %.2f, %u queries/s for %u s, the first third not counted\n\n",
              plan.names, plan.zipf, plan.qps, plan.queries / plan.qps);
  tell("trace of", std::to_string(plan.queries) + " queries");
  const SizeCurve curve = size_curve(make_trace(plan, options.seed));
  std::printf("%s", table_of(curve).c_str());
  write(options.json_file, json_of(curve, plan));
  write(options.svg_file, plot_of(curve, plan));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Traces through eviction policies and through millrace's cache"};
  app.require_subcommand(1);
  const auto common = [&options](CLI::App& verb) {
    verb.add_option("--seed", options.seed, "the same seed gives the same figures");
    verb.add_option("--json", options.json_file, "write the results there");
    verb.add_option("--svg", options.svg_file, "write the plot there");
    verb.add_flag("--quick", options.quick, "shorter traces");
  };
  CLI::App& policies = *app.add_subcommand("compare", "hit ratio of each policy; R18");
  common(policies);
  CLI::App& size = *app.add_subcommand("size", "how big a cache is needed");
  common(size);
  size.add_option("--names", options.plan.names, "different names that are asked for")
      ->check(CLI::Range(100u, 100'000'000u));
  size.add_option("--zipf", options.plan.zipf, "exponent of their popularity")
      ->check(CLI::Range(0.0, 3.0));
  size.add_option("--qps", options.plan.qps, "queries a second")
      ->check(CLI::Range(1u, 10'000'000u));
  size.add_option("--ttl-mix", options.ttl_mix, "dns, short, or SECONDS[:WEIGHT],...");
  size.add_option("--one-hit", options.one_hit_percent,
                  "percent of queries for names that come once")
      ->check(CLI::Range(0.0, 99.0));
  size.add_option("--seconds", options.seconds, "length of the trace (3600, at most 10 M queries)")
      ->check(CLI::Range(1u, 1'000'000u));
  try {
    app.parse(argc, argv);
    return policies.parsed() ? compare_policies(options) : find_size(options);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cache-sim: %s\n", error.what());
    return 1;
  }
}
