// SPDX-License-Identifier: Apache-2.0
// Whom upstreams are told of, and who may have what they say of them (A88, A89).
#include "tests/sim/oracle.hpp"

namespace millrace::sim {

using namespace millrace::test;

void Oracle::read_options(Sent& sent, const ReadMessage& message, const Bytes& frame) {
  sent.ask.cookie = option_in(message, kOptionCookie);
  if (!sent.ask.cookie.empty()) check_cookie(sent, frame);
  sent.ask.subnet = option_in(message, kOptionSubnet);
  const bool told = by_subnet(plan_, sent.ask.view) && !sent.probe;
  demand(told == !sent.ask.subnet.empty(), told ? "A89" : "A88", "CLIENT-SUBNET", frame);
  demand(!told || sent.ask.subnet[3] == 0, "A89", "a SCOPE in a question", frame);
}

// Whoever asked for it, and for whomever else it holds.
bool Oracle::may_have(const Query& query, const Answer& answer) const {
  if (answer.key == query.key) return true;
  return !answer.subnet.empty() && question_of(answer.key) == question_of(query.key) &&
         holds_for(plan_, answer.subnet, answer.scope, asker_of(plan_, query.client, query.told));
}

// The client's own option comes back, with the SCOPE of the answer (A89), or none.
void Oracle::check_subnet(const Query& query, const Answer& answer, const ReadMessage& message,
                          const Bytes& frame) const {
  Bytes wanted = by_subnet(plan_, kBind[query.bind].view) ? query.told : Bytes{};
  if (!wanted.empty()) wanted[3] = answer.scope;
  demand(option_in(message, kOptionSubnet) == wanted, "A89", "CLIENT-SUBNET", frame);
}

}  // namespace millrace::sim
