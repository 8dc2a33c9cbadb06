// SPDX-License-Identifier: Apache-2.0
#include "control/cli/explain.hpp"

#include "control/config/nearest.hpp"
#include "dataplane/abi/outcomes.hpp"

namespace millrace::cli {
namespace {

constexpr std::array<Explanation, 5> kBackendColumns{{
    {"backend", "sent", "", "queries sent to it, probes included"},
    {"backend", "answered", "", "answers of it that fit a query, failures included"},
    {"backend", "timeouts", "", "tries and probes that it did not answer in time"},
    {"backend", "failures", "", "answers of it that were failures (SERVFAIL, REFUSED, ...)"},
    {"backend", "rtt_us", "", "its usual round trip in microseconds, the mean of all cores"},
}};

constexpr Explanation kPrefilterReasons[] = {
#define MR_XDP_REASON(name, text) {"prefilter", #name, "", text},
#include "ebpf/abi/xdp_reasons.def"
#undef MR_XDP_REASON
};

std::vector<Explanation> everything() {
  std::vector<Explanation> all{{"outcome", "rx", "", "packets received: the sum of all outcomes"}};
  for (const auto& one : abi::kOutcomes) {
    const auto term = abi::kOutcomeClasses[static_cast<std::size_t>(one.cls)];
    all.push_back({"outcome", one.name, term, one.text});
  }
  for (const auto& one : abi::kEvents) all.push_back({"event", one.name, "", one.text});
  for (const auto& one : kGauges) all.push_back({"gauge", one.name, "", one.text});
  all.insert(all.end(), kBackendColumns.begin(), kBackendColumns.end());
  all.insert(all.end(), std::begin(kPrefilterReasons), std::end(kPrefilterReasons));
  return all;
}

}  // namespace

ctl::Result<std::vector<Explanation>> explain(const std::vector<std::string>& words) {
  const std::vector<Explanation> all = everything();
  if (words.empty()) return all;
  std::vector<bool> wanted(all.size());
  for (const std::string& word : words) {
    std::size_t found = 0;
    const auto want = [&](auto fits) {
      for (std::size_t i = 0; i < all.size(); ++i) {
        if (!fits(all[i])) continue;
        wanted[i] = true;
        ++found;
      }
    };
    want([&](const Explanation& one) { return one.name == word || one.term == word; });
    if (found == 0) {
      want([&](const Explanation& one) { return one.name.find(word) != one.name.npos; });
    }
    if (found != 0) continue;
    std::vector<std::string_view> names;
    for (const auto& one : all) names.push_back(one.name);
    const std::string_view near = ctl::nearest(word, names);
    return ctl::Status(ctl::Code::usage,
                       "no counter is named \"" + word + "\"" +
                           (near.empty() ? "; `millrace stats --explain` has them all"
                                         : "; did you mean \"" + std::string(near) + "\"?"));
  }
  std::vector<Explanation> rows;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (wanted[i]) rows.push_back(all[i]);
  }
  return rows;
}

}  // namespace millrace::cli
