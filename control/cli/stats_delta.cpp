// SPDX-License-Identifier: Apache-2.0
#include "control/cli/stats_delta.hpp"

#include <algorithm>

namespace millrace::cli {
namespace {

using Json = nlohmann::json;
using ctl::Code;
using ctl::Status;

struct WentBack {
  std::string counter;
};

uint64_t difference(const std::string& counter, uint64_t after, uint64_t before) {
  if (after < before) throw WentBack{counter};
  return after - before;
}

void subtract(Json& after, const Json& before, const char* key) {
  after[key] = difference(key, after.at(key).get<uint64_t>(), before.at(key).get<uint64_t>());
}

void subtract_all(Json& after, const Json& before) {
  for (auto& [key, value] : after.items()) {
    value = difference(key, value.get<uint64_t>(), before.value(key, uint64_t{0}));
  }
}

void subtract_core(Json& after, const Json& before) {
  subtract(after, before, "rx");
  for (const char* group : {"classes", "outcomes", "events"}) {
    subtract_all(after.at(group), before.at(group));
  }
}

}  // namespace

ctl::Result<Json> stats_delta(const Json& before, Json after) {
  try {
    if (after.at("pid") != before.at("pid") ||
        after.at("started_boot_ns") != before.at("started_boot_ns") ||
        after.at("cores").size() != before.at("cores").size() ||
        after.at("backends").size() != before.at("backends").size()) {
      return Status(Code::error,
                    "the data plane was started anew in between; its counters began at 0");
    }
    for (std::size_t i = 0; i < after["cores"].size(); ++i) {
      subtract_core(after["cores"][i], before.at("cores")[i]);
    }
    subtract_core(after.at("total"), before.at("total"));
    Json& identity = after.at("identity");
    for (const char* key : {"rx", "sum", "misses"}) {
      subtract(identity, before.at("identity"), key);
    }
    // Holds a gauge, summed over cores that were not read at the same moment.
    const auto accounted = identity.at("misses_accounted").get<uint64_t>();
    identity["misses_accounted"] =
        accounted -
        std::min(accounted, before.at("identity").at("misses_accounted").get<uint64_t>());
    identity["misses_hold"] = identity["misses"] == identity["misses_accounted"];
    for (std::size_t i = 0; i < after["backends"].size(); ++i) {
      for (const char* key : {"sent", "answered", "timeouts", "failures"}) {
        subtract(after["backends"][i], before.at("backends")[i], key);
      }
    }
    for (auto& [interface, reasons] : after.at("prefilter").items()) {
      if (before.at("prefilter").contains(interface)) {
        subtract_all(reasons, before["prefilter"][interface]);
      }
    }
  } catch (const WentBack& went) {
    return Status(Code::error, "counter " + went.counter +
                                   " began anew in between (another config, or the prefilter was "
                                   "attached again); ask again");
  } catch (const Json::exception&) {
    return Status(Code::error, "millraced is of another version; see `millrace version`");
  }
  return after;
}

}  // namespace millrace::cli
