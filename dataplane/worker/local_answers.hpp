// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is answered here, without cache and upstream.
//
//   a name in a local zone   empty     SOA and NS at the zone's own name, below it no name exists
//                            nxdomain  no name exists
//                            nodata    every name exists and has nothing
//                            loopback  A 127.0.0.1, AAAA ::1, and nothing else
//                            elsewhere not answered here, though a zone above it is
//
// Answers have AA set, and the negative ones have the zone's SOA, so that clients can keep them
// (RFC 6303 section 3). They never enter the cache, so nobody looks here before a look-up has
// missed. DS of an empty zone's own name belongs to its parent, whose proof that the zone is not
// signed is what validating clients need: it is asked upstream.
//
//   class CH, TXT            version.bind and version.server, id.server and hostname.bind: what the
//                            config says, if it says something (RFC 4892)
//   type ANY                 an HINFO that says why there is no more (RFC 8482 section 4.2)
//
// Threads: private to its core. Cost: local_zones.hpp, and a body of less than 128 octets.
// Failure: none. Sources: RFC 4892, 6303, 6761, 7686, 8375, 8482, 9462, 9476.

#include <cstdint>

#include "dataplane/abi/config_image.hpp"
#include "dataplane/base/answer_view.hpp"
#include "dataplane/base/key.hpp"
#include "dataplane/wire/query.hpp"
#include "dataplane/worker/local_zones.hpp"

namespace millrace::dp {

class LocalAnswers {
 public:
  static constexpr uint32_t kTtlS = 10800;  // RFC 6303 section 3
  static constexpr uint32_t kAnyTtlS = 3600;

  // Takes over what a verified config says.
  void load(const abi::ServiceSection& service) noexcept {
    zones_.load(service);
    config_ = service.local;
  }

  // True: `key`'s name is in a local zone, and `answer` is the answer, which holds until the next
  // call.
  bool find(const wire::Query& query, const Key& key, AnswerView& answer) noexcept;

  // For a query that parse_query() refused for its class. True: it asks who we are, and may know.
  bool find_identity(const uint8_t* msg, const wire::Query& query, AnswerView& answer) noexcept;

  // The least that can be said of all types of a name that is not signed.
  void answer_any(AnswerView& answer) noexcept;

 private:
  static constexpr uint32_t kRecordsMax = 2;

  struct Head {
    uint16_t type;
    uint16_t cls;
    uint32_t ttl_s;
  };

  uint8_t* add(uint16_t owner_at, const Head& head, uint16_t rdata_bytes) noexcept;
  uint8_t* add(uint16_t owner_at, uint16_t type, uint16_t rdata_bytes) noexcept;
  void finish(AnswerView& answer) noexcept;
  void add_soa(uint16_t zone_at) noexcept;
  void add_loopback(bool v6) noexcept;
  void add_zone_data(uint16_t zone_at, uint16_t qtype) noexcept;

  LocalZones zones_;
  abi::LocalConfig config_{};
  AnswerView view_{};  // of the answer in the making
  uint8_t body_[128];
  uint16_t ttl_offsets_[kRecordsMax];
};

}  // namespace millrace::dp
