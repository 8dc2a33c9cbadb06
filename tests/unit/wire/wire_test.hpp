// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the tests of wire/ share: calls into the product on exactly-sized blocks, results as values.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/base/checksum.hpp"
#include "dataplane/wire/packet.hpp"
#include "dataplane/wire/query.hpp"
#include "dataplane/wire/reply.hpp"
#include "dataplane/wire/upstream.hpp"
#include "tests/support/packet_builder.hpp"
#include "tests/support/packet_reader.hpp"

namespace millrace::abi {

// So that a failed EXPECT_EQ names the outcome.
inline void PrintTo(Outcome outcome, std::ostream* to) {
  const auto index = static_cast<std::size_t>(outcome);
  *to << (index < kOutcomeCnt ? kOutcomes[index].name : std::string_view("kGoOn"));
}

inline void PrintTo(Event event, std::ostream* to) {
  const auto index = static_cast<std::size_t>(event);
  *to << (index < kEventCnt ? kEvents[index].name : std::string_view("none"));
}

}  // namespace millrace::abi

namespace millrace::test {

using abi::Event;
using abi::Outcome;
using wire::kGoOn;

inline constexpr const char* kQname = "www.example.com";

struct ParsedQuery {
  Outcome outcome;
  wire::Query query;
  Key key;
};

inline ParsedQuery parse(const Bytes& message) {
  ParsedQuery parsed{};
  std::memset(&parsed.key, 0xaa, sizeof parsed.key);
  const ExactCopy copy(message);
  parsed.outcome = wire::parse_query(copy.data(), copy.len(), parsed.query, parsed.key);
  return parsed;
}

inline constexpr wire::ReplyLimits kLimits{.udp_bytes_max = 1232, .room = 4096};

struct Written {
  wire::Reply reply;
  Bytes bytes;
  std::optional<ReadMessage> message;
};

template <class Write>
Written write_over(const Bytes& query, uint16_t room, Write&& write) {
  // Exactly `room` octets, so that AddressSanitizer sees a write behind them.
  const auto block = std::make_unique<uint8_t[]>(room);
  std::copy_n(query.begin(), std::min<std::size_t>(room, query.size()), block.get());
  Written written;
  written.reply = write(block.get());
  written.bytes.assign(block.get(), block.get() + written.reply.len);
  EXPECT_EQ(sum_fold(written.reply.sum),
            sum_fold(sum_bytes(block.get(), written.reply.len)));
  written.message = read_message(written.bytes);
  return written;
}

inline Written error_reply(const Bytes& query, Outcome outcome,
                           const wire::ReplyLimits& limits = kLimits) {
  const ParsedQuery parsed = parse(query);
  return write_over(query, limits.room, [&](uint8_t* msg) {
    return wire::write_error(msg, parsed.query, outcome, limits);
  });
}

// The error that the query itself earns.
inline Written error_reply(const Bytes& query) {
  return error_reply(query, parse(query).outcome);
}

inline Written reply_to(const Bytes& query, const AnswerView& answer, uint32_t age_s = 0,
                        const wire::ReplyLimits& limits = kLimits) {
  const ParsedQuery parsed = parse(query);
  return write_over(query, limits.room, [&](uint8_t* msg) {
    return wire::write_reply(msg, parsed.query, answer, age_s, limits);
  });
}

inline abi::PacketCacheConfig cache_limits() {
  abi::PacketCacheConfig limits{};
  limits.ttl_s_max = 86400;
  limits.negative_ttl_s_max = 3600;
  limits.failure_ttl_s = 5;
  limits.entry_bytes_max = 4096;
  return limits;
}

struct ParsedUpstream {
  wire::Verdict verdict;
  wire::ParsedAnswer parsed;
  std::unique_ptr<wire::AnswerScratch> scratch;

  const AnswerView& view() const { return parsed.view; }
  Bytes body() const { return Bytes(view().body, view().body + view().body_bytes); }
  std::vector<uint32_t> ttls() const {
    std::vector<uint32_t> values;
    for (unsigned i = 0; i < view().ttl_cnt; ++i) {
      values.push_back(load_be32(view().body + view().ttl_offsets[i]));
    }
    return values;
  }
};

inline Key key_for(const Name& name, uint16_t type, bool flag_do = false, bool flag_cd = false) {
  DnsBuilder builder;
  builder.rd().question(name, type);
  if (flag_do) builder.opt({.flag_do = true});
  if (flag_cd) builder.add_flags(kFlagCd);
  const ParsedQuery parsed = parse(builder.build());
  EXPECT_EQ(parsed.outcome, kGoOn);
  return parsed.key;
}

inline ParsedUpstream parse_upstream(const Bytes& message, const Key& key,
                                     const abi::PacketCacheConfig& limits = cache_limits()) {
  ParsedUpstream result{{}, {}, std::make_unique_for_overwrite<wire::AnswerScratch>()};
  // As much of each array as the message can touch.
  const std::size_t records = message.size() / wire::kRecordBytesMin;
  wire::AnswerScratch& scratch = *result.scratch;
  std::memset(scratch.body, 0xaa, message.size());
  std::memset(scratch.name_facts, 0xaa, message.size() * sizeof scratch.name_facts[0]);
  std::memset(scratch.ttl_offsets, 0xaa, records * sizeof scratch.ttl_offsets[0]);
  std::memset(scratch.records, 0xaa, records * sizeof scratch.records[0]);
  std::memset(scratch.ranks, 0xaa, records * sizeof scratch.ranks[0]);
  const ExactCopy copy(message);
  result.verdict =
      wire::parse_answer(copy.data(), copy.len(), key, limits, *result.scratch, result.parsed);
  return result;
}

}  // namespace millrace::test

namespace millrace::wire {

inline void PrintTo(Verdict verdict, std::ostream* to) {
  constexpr const char* kNames[] = {"answer", "failure", "truncated", "question", "malformed"};
  *to << kNames[static_cast<int>(verdict)];
}

}  // namespace millrace::wire
