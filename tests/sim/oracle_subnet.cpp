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
  // A question is asked as it was begun.
  const bool is_told = !sent.ask.subnet.empty();
  demand(told == is_told || (told && subnets_off_), told ? "A89" : "A88", "CLIENT-SUBNET", frame);
  demand(!is_told || sent.ask.subnet[3] == 0, "A89", "a SCOPE in a question", frame);
}

// A good query's own; and while subnets are off it is asked for nobody in particular. What was
// received then and is asked when they are on again is asked for the client: nobody has looked for
// an option.
std::vector<std::string> Oracle::keys_of(const Query& query) const {
  if (query.key[0] == 0 || plan_.reconfigure == 0) return {query.key};
  const Bytes own = asker_of(plan_, query.client, {}).asked;
  return {query.key, std::string(1, 0) + question_of(query.key),
          key_text(query.name, query.type, query.flag_do, query.flag_cd, kBind[query.bind].view,
                   own)};
}

// Whoever asked for it, and for whomever else it holds.
bool Oracle::may_have(const Query& query, const Answer& answer) const {
  if (answer.key == query.key) return true;
  if (question_of(answer.key) != question_of(query.key)) return false;
  // It was asked for nobody in particular.
  if (answer.subnet.empty()) return true;
  const SubnetAsker own = asker_of(plan_, query.client, {});
  if (subnets_off_ && (answer.subnet == own.asked ||
                       holds_for(plan_, answer.subnet, answer.scope, own))) {
    return true;
  }
  return holds_for(plan_, answer.subnet, answer.scope, asker_of(plan_, query.client, query.told));
}

// The client's own option comes back, with the SCOPE of the answer (A89), or none.
void Oracle::check_subnet(const Query& query, const Answer& answer, const ReadMessage& message,
                          const Bytes& frame) const {
  Bytes wanted = by_subnet(plan_, kBind[query.bind].view) ? query.told : Bytes{};
  if (!wanted.empty()) wanted[3] = answer.scope;
  const Bytes told = option_in(message, kOptionSubnet);
  demand(told == wanted || (told.empty() && subnets_off_), "A89", "CLIENT-SUBNET", frame);
}

}  // namespace millrace::sim
