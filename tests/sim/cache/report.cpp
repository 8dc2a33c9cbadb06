// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/cache/report.hpp"

#include "tests/sim/cache/plot.hpp"

#include <cstdio>

#include <nlohmann/json.hpp>

namespace millrace::cachesim {

namespace {

using Json = nlohmann::ordered_json;

constexpr double kR18Floor = 0.95, kFloodFloor = 0.97;

std::string number(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}
// Right-aligned in a column.
std::string cell(const std::string& text) {
  constexpr std::size_t kColumn = 10;
  return std::string(text.size() < kColumn ? kColumn - text.size() : 1, ' ') + text;
}
std::string percent(double share) {
  return cell(number("%.2f", 100 * share));
}

std::string head_of(const Comparison& comparison) {
  std::string text = "trace       MiB";
  for (const Row& row : comparison.rows)
    text += cell(row.policy);
  text += cell("bound");
  for (const Row& row : comparison.rows) {
    if (row.real) text += cell("R18");
  }
  return text + "\n";
}

std::string row_of(const Comparison& comparison) {
  char head[64];
  std::snprintf(head, sizeof head, "%-9s %5llu", comparison.trace.c_str(),
                static_cast<unsigned long long>(comparison.mib));
  std::string text = head;
  for (const Row& row : comparison.rows)
    text += percent(row.score.hit_ratio());
  text += percent(comparison.bound_ratio);
  for (const Row& row : comparison.rows) {
    if (!row.real) continue;
    const auto r18 = r18_of(comparison, row);
    text += cell(r18 ? number("%.2f", *r18) : "-");
  }
  return text + "\n";
}

std::string verdict(double value, double floor, bool judged) {
  if (!judged) return number("%.3f", value);
  return number("%.3f", value) + number(" (floor %.2f: ", floor) +
         (value >= floor ? "met)" : "not met)");
}

}  // namespace

std::string table_of(const std::vector<Comparison>& all, bool judged) {
  std::string text =
      "Hit ratio in %, at the same bytes; mr-: millrace's shards; R18: their gain over LRU / the "
      "best other's\n\n";
  text += head_of(all.front());
  for (const Comparison& comparison : all)
    text += row_of(comparison);
  text += "\n";
  for (const Row& row : all.front().rows) {
    const Figures figures = figures_of(all, row.policy);
    if (!row.real) continue;
    text += row.policy + ": R18 over all traces " + verdict(figures.r18, kR18Floor, judged) +
            "; ordinary names under the flood / clean " +
            verdict(figures.flood, kFloodFloor, judged) + "\n";
  }
  text += "for comparison, under the flood / clean:";
  for (const Row& row : all.front().rows) {
    if (!row.real) text += " " + row.policy + number(" %.3f", figures_of(all, row.policy).flood);
  }
  return text + "\n";
}

std::string json_of(const std::vector<Comparison>& all, uint64_t seed) {
  Json out{{"seed", seed}, {"comparisons", Json::array()}, {"figures", Json::array()}};
  for (const Comparison& comparison : all) {
    Json policies = Json::object();
    for (const Row& row : comparison.rows) {
      Json figures{{"hit_ratio", row.score.hit_ratio()},
                   {"ordinary_hit_ratio", row.score.ordinary_hit_ratio()}};
      const auto r18 = r18_of(comparison, row);
      figures["r18"] = r18 ? Json(*r18) : Json(nullptr);
      policies[row.policy] = figures;
    }
    out["comparisons"].push_back({{"trace", comparison.trace},
                                  {"mib", comparison.mib},
                                  {"bound_hit_ratio", comparison.bound_ratio},
                                  {"unlimited_hit_ratio", comparison.unlimited_ratio},
                                  {"policies", policies}});
  }
  for (const Row& row : all.front().rows) {
    const Figures figures = figures_of(all, row.policy);
    out["figures"].push_back(
        {{"policy", row.policy}, {"r18", figures.r18}, {"flood_over_clean", figures.flood}});
  }
  return out.dump(2) + "\n";
}

std::string plot_of(const std::vector<Comparison>& sweep) {
  Plot plot{"Miss ratio against cache size, trace \"" + sweep.front().trace + "\"",
            "cache size in MiB",
            "queries that miss",
            {},
            {}};
  for (const Row& row : sweep.front().rows)
    plot.lines.push_back({row.policy, {}, row.real});
  plot.lines.push_back({"offline bound", {}, true});
  for (const Comparison& comparison : sweep) {
    plot.x.push_back(comparison.mib);
    for (std::size_t i = 0; i < comparison.rows.size(); ++i)
      plot.lines[i].y.push_back(100 * (1 - comparison.rows[i].score.hit_ratio()));
    plot.lines.back().y.push_back(100 * (1 - comparison.bound_ratio));
  }
  return svg_of(plot);
}

std::string table_of(const SizeCurve& curve) {
  std::string text = "     MiB   misses in %     entries\n";
  for (const SizeRow& row : curve.rows) {
    char line[128];
    std::snprintf(line, sizeof line, "%8llu %13.2f %11llu%s\n",
                  static_cast<unsigned long long>(row.mib), 100 * row.miss_ratio,
                  static_cast<unsigned long long>(row.entries),
                  row.mib == curve.knee_mib ? "  <- the curve is flat from here on" : "");
    text += line;
  }
  text += "unlimited" + number("%13.2f", 100 * curve.unlimited_miss_ratio) + "\n\n";
  if (curve.knee_mib == 0) return text + "The curve is not flat at the largest size.\n";
  return text + "size: " + std::to_string(curve.knee_mib) +
         "MiB   (more memory saves less than one query in a hundred)\n";
}

std::string json_of(const SizeCurve& curve, const TracePlan& plan) {
  Json out{{"names", plan.names},       {"zipf", plan.zipf},
           {"qps", plan.qps},           {"queries", plan.queries},
           {"sizes", Json::array()},    {"unlimited_miss_ratio", curve.unlimited_miss_ratio},
           {"knee_mib", curve.knee_mib}};
  for (const SizeRow& row : curve.rows) {
    out["sizes"].push_back(
        {{"mib", row.mib}, {"miss_ratio", row.miss_ratio}, {"entries", row.entries}});
  }
  return out.dump(2) + "\n";
}

std::string plot_of(const SizeCurve& curve, const TracePlan& plan) {
  Plot plot{"Miss ratio against cache size: " + std::to_string(plan.names) + " names, Zipf " +
                number("%.2f", plan.zipf) + ", " + std::to_string(plan.qps) + " queries/s",
            "cache size in MiB",
            "queries that miss",
            {},
            {}};
  plot.lines.push_back({"millrace", {}, false});
  plot.lines.push_back({"unlimited memory", {}, true});
  for (const SizeRow& row : curve.rows) {
    plot.x.push_back(row.mib);
    plot.lines[0].y.push_back(100 * row.miss_ratio);
    plot.lines[1].y.push_back(100 * curve.unlimited_miss_ratio);
  }
  return svg_of(plot);
}

}  // namespace millrace::cachesim
