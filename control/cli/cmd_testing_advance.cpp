// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>
#include <memory>

#include "control/cli/session.hpp"
#include "dataplane/abi/control_protocol.hpp"

namespace millrace::cli {
namespace {

constexpr double kSecondsMax = static_cast<double>(abi::kAdvanceNsMax) / 1e9;
constexpr double kTimeoutS = 80;  // the data plane gives up after 60

void advance(Session& session, double seconds) {
  if (!session.timeout_given) session.timeout_s = kTimeoutS;
  const Json request{{"verb", "testing-advance"}, {"ms", std::llround(seconds * 1000)}};
  const Reply reply = session.change(request, "the clock may still go on");
  if (!reply.status.ok()) return session.fail(reply);
  if (session.json) session.print_json(reply.data);
}

}  // namespace

void add_testing_advance(CLI::App& testing, Session& session) {
  auto* verb = testing.add_subcommand(
      "advance",
      "let time pass for a data plane whose clock stands still (`testing: {clock: manual}`). "
      "Returns when every core has done what became due meanwhile, each thing at its time");
  verb->fallthrough();
  auto seconds = std::make_shared<double>(0);
  verb->add_option("SECONDS", *seconds, "how far, in steps of 0.001")
      ->required()
      ->check(seconds_in(0, kSecondsMax));
  verb->callback([&session, seconds] { advance(session, *seconds); });
}

}  // namespace millrace::cli
