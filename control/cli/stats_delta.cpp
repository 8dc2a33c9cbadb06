// SPDX-License-Identifier: Apache-2.0
#include "control/cli/stats_delta.hpp"


namespace millrace::cli {
namespace {

using Json = nlohmann::json;
using ctl::Code;
using ctl::Status;

void subtract(Json& after, const Json& before, const char* key) {
  after[key] = after.at(key).get<uint64_t>() - before.at(key).get<uint64_t>();
}

void subtract_all(Json& after, const Json& before) {
  for (auto& [key, value] : after.items()) {
    value = value.get<uint64_t>() - before.value(key, uint64_t{0});
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
    if (after.at("uptime_s").get<double>() < before.at("uptime_s").get<double>() ||
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
    for (const char* key : {"rx", "sum", "misses", "misses_accounted"}) {
      subtract(identity, before.at("identity"), key);
    }
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
  } catch (const Json::exception&) {
    return Status(Code::error, "millraced is of another version; see `millrace version`");
  }
  return after;
}

}  // namespace millrace::cli
