// SPDX-License-Identifier: Apache-2.0
// ICMP errors about our queries.
#include "tests/sim/upstreams.hpp"
#include "tests/support/icmp_frame.hpp"

namespace millrace::sim {

using namespace millrace::test;

namespace {

// What makes an error worthless (B43): some of it only the receiver of the query knows, or its form
// is none that counts.
enum class ErrorFault : uint8_t {
  none,
  id,
  sum,  // the quote ends in front of the id
  port,
  target,
  protocol,
  cut,
  kind,
  wrong_sum,
  wrong_side,
  count_
};

struct Quote {
  Bytes bytes;
  std::size_t udp;  // where its UDP header begins

  uint16_t at(std::size_t offset) const {
    return static_cast<uint16_t>(bytes[udp + offset] << 8 | bytes[udp + offset + 1]);
  }
};

Quote quote_for(const Sent& sent) {
  return {quote_of(sent.frame), sent.source.family == 6 ? std::size_t{40} : std::size_t{20}};
}

void spoil(Quote& quote, ErrorFault fault, Random& random) {
  Bytes& bytes = quote.bytes;
  const auto flip = [&](std::size_t at) {
    bytes[at] ^= static_cast<uint8_t>(1u << random.below(8));
  };
  if (fault == ErrorFault::id) flip(quote.udp + 8 + random.below(2));
  if (fault == ErrorFault::sum) flip(quote.udp + 6 + random.below(2));
  if (fault == ErrorFault::port) flip(quote.udp + 1);
  if (fault == ErrorFault::target) flip(quote.udp - 1 - random.below(3));
  if (fault == ErrorFault::protocol) bytes[quote.udp == 20 ? 9 : 6] = 6;
  if (fault == ErrorFault::sum) bytes.resize(quote.udp + 8);
  if (fault == ErrorFault::cut) bytes.resize(quote.udp + random.below(8));
}

}  // namespace

void Upstreams::note_sent(const Sent& sent) {
  const Quote quote = quote_for(sent);
  quotable_.emplace(quote.at(0), quote.at(8));
  quotable_.emplace(quote.at(0), quote.at(6));
}

// By who could not deliver it; or by somebody who has not seen it.
void Upstreams::tell_unreachable(const Sent& sent, uint64_t now_ns, bool forged) {
  constexpr auto kFaults = static_cast<uint32_t>(ErrorFault::count_);
  const auto fault =
      forged ? static_cast<ErrorFault>(1 + random_.below(kFaults - 1)) : ErrorFault::none;
  Quote quote = quote_for(sent);
  static constexpr std::size_t kQuoted[] = {8, 9, 10, 500};
  if (!forged) quote.bytes = quote_of(sent.frame, quote.udp + random_.pick(kQuoted));
  spoil(quote, fault, random_);
  // Another query may have gone out with what was made up.
  if (fault == ErrorFault::id || fault == ErrorFault::port) {
    if (quotable_.contains({quote.at(0), quote.at(8)})) return;
  }
  if (fault == ErrorFault::sum && quotable_.contains({quote.at(0), quote.at(6)})) return;
  const bool v6 = sent.source.family == 6;
  static constexpr uint8_t kCodes[] = {0, 1, 3};
  uint8_t type = v6 ? 1 : 3;
  uint8_t code = random_.pick(kCodes);
  if (fault == ErrorFault::kind && v6) type = static_cast<uint8_t>(2 + random_.below(3));
  if (fault == ErrorFault::kind && !v6) code = 4;  // fragmentation needed
  const bool by_host = random_.chance(500);
  const char* router = v6 ? "fd00:18:1::1" : "198.18.1.1";
  FrameBuilder frame = icmp_error(by_host ? kBackend[sent.backend].text : router,
                                  v6 ? kSourceV6 : kSourceV4, type, code, quote.bytes);
  Bytes bytes = frame.build();
  if (fault == ErrorFault::wrong_sum) bytes[14 + quote.udp + 2] ^= 1;
  const auto in_by =
      static_cast<uint8_t>(port_to(sent.backend) ^ (fault == ErrorFault::wrong_side ? 1 : 0));
  const uint32_t number = zone_.error(sent.ask, forged);
  trace_.event("unreachable", number, [&] { return "fault " + std::to_string(int(fault)); });
  network_.to_core(now_ns + (forged ? random_.below(1000) : delay_ns(Mood::good)),
                   random_.below(plan_.workers),
                   {{Cargo::Kind::answer, number, port_of(sent.source)}, bytes, in_by});
}

}  // namespace millrace::sim
