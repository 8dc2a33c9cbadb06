// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "dataplane/base/byte_order.hpp"
#include "dataplane/wire/answer_chain.hpp"
#include "dataplane/wire/answer_records.hpp"
#include "dataplane/wire/dns_format.hpp"
#include "dataplane/wire/dns_name.hpp"
#include "dataplane/wire/edns.hpp"
#include "dataplane/wire/packet.hpp"
#include "dataplane/wire/upstream.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace millrace::wire {
namespace {

using abi::Event;

constexpr Event kNoSkip = Event::count_;
constexpr uint32_t kNoTtl = 0xffff'ffff;
constexpr uint32_t kMessageBytesMax = 65'535;

// One parse. The arrays of the scratch are not cleared: what is read of them was written before.
struct Work {
  Work(const uint8_t* message, uint32_t bytes, uint32_t question_end,
       const abi::PacketCacheConfig& cache_limits, AnswerScratch& memory) noexcept
      : msg(message),
        len(bytes),
        body_at(question_end),
        limits(cache_limits),
        scratch(memory),
        records(memory.records) {}

  const uint8_t* msg;
  uint32_t len;
  uint32_t body_at;
  const abi::PacketCacheConfig& limits;
  AnswerScratch& scratch;
  uint16_t qtype = 0;
  uint16_t rcode = 0;
  const Record* soa =
      nullptr;  // the only SOA of the authority section, at the chain's end or above
  uint32_t soa_cnt = 0;
  bool negative = false;
  uint32_t keep_end = 0;
  Records records;
  Chain chain;
};

// A record and its signatures are one group.
uint64_t group_hash(const Record& record) noexcept {
  return record.owner_hash + record.covered_type * 0x9e37'79b9'7f4a'7c15ULL;
}

Verdict fail(ParsedAnswer& parsed, uint16_t rcode, Event skip,
             const abi::PacketCacheConfig& limits) noexcept {
  parsed.rcode = static_cast<uint8_t>(std::min<uint16_t>(rcode, 255));
  parsed.skip = skip;
  parsed.view.rcode = rcode::servfail;
  parsed.view.failure = true;
  parsed.view.lifetime_s = limits.failure_ttl_s;
  return Verdict::failure;
}

uint16_t whole_rcode(const uint8_t* msg, const Records& records) noexcept {
  return static_cast<uint16_t>(records.extended_rcode << 4 |
                               (msg[kDnsFlagsAt + 1] & kRcodeMask));
}

bool is_meta_type(uint16_t record_type) noexcept {
  return record_type == type::opt || record_type == 0 || (record_type >= 128 && record_type <= 255);
}

void note_options(const uint8_t* msg, const Records& records, ParsedAnswer& parsed) noexcept {
  parsed.has_opt = records.has_opt;
  parsed.cookie = find_option(msg + records.options_at, records.options_bytes, kOptionCookie,
                              parsed.cookie_bytes);
}

// A server that could not read the question may leave it out of its refusal; an answer may not.
Verdict judge_without_question(Work& work, NameMap& names, ParsedAnswer& parsed) noexcept {
  if (!read_records(work.msg, work.len, kDnsHeaderBytes, names, work.records)) {
    return Verdict::malformed;
  }
  note_options(work.msg, work.records, parsed);
  const uint16_t rcode = whole_rcode(work.msg, work.records);
  if (rcode == rcode::noerror || rcode == rcode::nxdomain) return Verdict::question;
  return fail(parsed, rcode, Event::ins_skip_rcode, work.limits);
}

void find_soa(Work& work, const NameMap& names) noexcept {
  for (uint32_t i = 0; i < work.records.cnt; ++i) {
    const Record& record = work.records.record[i];
    if (record.section != Section::authority || record.type != type::soa) continue;
    work.soa_cnt += 1;
    if (work.soa_cnt == 1 && record.cls == kClassIn &&
        is_self_or_ancestor(names, record.owner_at, work.chain.end)) {
      work.soa = &record;
    }
  }
  if (work.soa_cnt != 1) work.soa = nullptr;
}

bool is_lame(const Work& work) noexcept {
  if (work.rcode != rcode::noerror || load_be16(work.msg + kDnsAnCountAt) != 0) return false;
  const bool recursive = (work.msg[kDnsFlagsAt + 1] & kBitRa) != 0;
  const bool authoritative = (work.msg[kDnsFlagsAt] & 0x04) != 0;
  if (!recursive && !authoritative) return true;
  if (work.soa_cnt != 0) return false;
  return std::any_of(work.records.record, work.records.record + work.records.cnt,
                     [](const Record& record) {
                       return record.section == Section::authority && record.type == type::ns;
                     });
}

Event judge_content(const Work& work) noexcept {
  const Records& records = work.records;
  if (records.is_signed) return Event::ins_skip_class;
  for (uint32_t i = 0; i < records.cnt; ++i) {
    if (records.record[i].cls != kClassIn || is_meta_type(records.record[i].type)) {
      return Event::ins_skip_class;
    }
  }
  if (work.chain.broken) return Event::ins_skip_chain;
  if (work.rcode != rcode::noerror && work.chain.has_data) return Event::ins_skip_chain;
  return work.negative && work.soa == nullptr ? Event::ins_skip_soa : kNoSkip;
}

// May it be shown at all? `stripped`: but for the records off the chain and what is behind them.
bool allows_strays(const Work& work, bool& stripped) noexcept {
  stripped = false;
  if (!work.chain.broken) return true;
  const Records& records = work.records;
  const bool relays = work.limits.unrelated == abi::UnrelatedRecords::relay;
  const uint32_t end = records.cut_at != 0 ? records.cut_at : records.end;
  if (relays && end + kOptBytes <= kMessageBytesMax) return true;
  stripped = work.limits.unrelated != abi::UnrelatedRecords::refuse && !work.negative &&
             work.rcode == rcode::noerror && !work.chain.resumes;
  return stripped || relays;
}

// Where the kept part ends: see the contract of parse_answer.
void choose_end(Work& work, bool stripped) noexcept {
  const Records& records = work.records;
  work.keep_end = records.cut_at != 0 ? records.cut_at : records.end;
  if (stripped) work.keep_end = work.chain.stray_at;
  if (stripped || work.negative) return;
  uint32_t authority_at = 0;
  for (uint32_t i = 0; i < records.cnt; ++i) {
    const Record& record = records.record[i];
    const uint16_t covered = record.covered_type;
    if (record.section == Section::answer) continue;
    if (record.section == Section::authority) {
      if (covered != type::ns) return;
      if (authority_at == 0) authority_at = record.start;
    } else if (covered != type::a && covered != type::aaaa) {
      return;
    }
  }
  if (authority_at != 0) work.keep_end = authority_at;
}

// Sorting costs the same whatever names somebody has chosen; a hash table would not.
void sort_by_hash(RankedRecord* ranks, uint32_t cnt) noexcept {
  std::sort(ranks, ranks + cnt,
            [](const RankedRecord& a, const RankedRecord& b) { return a.hash < b.hash; });
}

// The TTL with which a record counts.
uint32_t capped_ttl_s(const Work& work, const Record& record) noexcept {
  const uint32_t ttl_s = std::min(record.ttl_s, work.limits.ttl_s_max);
  if (!work.negative || &record != work.soa) return ttl_s;
  const uint32_t minimum_s = load_be32(work.msg + record.rdata_at + record.rdata_bytes - 4);
  return std::min({ttl_s, minimum_s, work.limits.negative_ttl_s_max});
}

// Levels TTLs within groups and answers the lowest of all; kNoTtl if there is no record.
uint32_t level_ttls(Work& work) noexcept {
  Record* const record = work.records.record;
  const uint32_t cnt = work.records.cnt;
  RankedRecord* const ranks = work.scratch.ranks;
  uint32_t lowest_s = kNoTtl;
  for (uint32_t i = 0; i < cnt; ++i) {
    record[i].ttl_s = capped_ttl_s(work, record[i]);
    lowest_s = std::min(lowest_s, record[i].ttl_s);
    ranks[i] = {group_hash(record[i]), i};
  }
  sort_by_hash(ranks, cnt);
  for (uint32_t begin = 0, end; begin < cnt; begin = end) {
    uint32_t ttl_s = kNoTtl;
    for (end = begin; end < cnt && ranks[end].hash == ranks[begin].hash; ++end) {
      ttl_s = std::min(ttl_s, record[ranks[end].idx].ttl_s);
    }
    for (uint32_t i = begin; i < end; ++i) record[ranks[i].idx].ttl_s = ttl_s;
  }
  return lowest_s;
}

bool has_duplicate(Work& work) noexcept {
  RankedRecord* const ranks = work.scratch.ranks;
  uint32_t cnt = 0;
  for (; cnt < work.records.cnt; ++cnt) {
    const Record& record = work.records.record[cnt];
    if (record.start >= work.keep_end) break;
    const uint64_t seed = group_hash(record) + record.type;
    ranks[cnt] = {XXH3_64bits_withSeed(work.msg + record.rdata_at, record.rdata_bytes, seed), cnt};
  }
  sort_by_hash(ranks, cnt);
  return std::adjacent_find(ranks, ranks + cnt,
                            [](const RankedRecord& a, const RankedRecord& b) {
                              return a.hash == b.hash;
                            }) != ranks + cnt;
}

// Notes the earliest end of the signatures that are kept.
void note_signature(const Work& work, const Record& record, ParsedAnswer& parsed) noexcept {
  if (record.type != type::rrsig || record.cls != kClassIn) return;
  const uint32_t expires_s = load_be32(work.msg + record.rdata_at + 8);
  if (!parsed.has_signatures ||
      static_cast<int32_t>(expires_s - parsed.signatures_expire_s) < 0) {
    parsed.signatures_expire_s = expires_s;
  }
  parsed.has_signatures = true;
}

// Puts the labels with which the name at `at` begins as the question does into lower case, in the
// copy that is kept.
void fold_copied_labels(const Work& work, uint32_t at, uint8_t* body) noexcept {
  const uint8_t* asked = work.msg + kDnsHeaderBytes;
  uint8_t copied[1 + kLabelBytesMax];
  uint8_t wanted[1 + kLabelBytesMax];
  while (work.msg[at] != 0 && work.msg[at] == *asked) {
    const uint32_t bytes = 1u + *asked;
    fold_name(copied, work.msg + at, bytes);
    fold_name(wanted, asked, bytes);
    if (std::memcmp(copied, wanted, bytes) != 0) return;
    std::memcpy(body + (at - work.body_at), copied, bytes);
    at += bytes;
    asked += bytes;
  }
}

void write_body(const Work& work, ParsedAnswer& parsed) noexcept {
  AnswerScratch& scratch = work.scratch;
  AnswerView& view = parsed.view;
  view.body_bytes = static_cast<uint16_t>(work.keep_end - work.body_at);
  if (view.body_bytes != 0) {
    std::memcpy(scratch.body, work.msg + work.body_at, view.body_bytes);
  }
  uint16_t* const counts[] = {&view.an_cnt, &view.ns_cnt, &view.ar_cnt};
  view.an_end = 0;
  view.ns_end = 0;
  for (uint32_t i = 0; i < work.records.cnt; ++i) {
    const Record& record = work.records.record[i];
    if (record.start >= work.keep_end) break;
    fold_copied_labels(work, record.start, scratch.body);
    if (work.chain.has_dname && record.type == type::cname && record.cls == kClassIn) {
      fold_copied_labels(work, record.rdata_at, scratch.body);
    }
    const uint16_t ttl_offset = static_cast<uint16_t>(record.ttl_at - work.body_at);
    const uint16_t end =
        static_cast<uint16_t>(record.rdata_at + record.rdata_bytes - work.body_at);
    store_be32(scratch.body + ttl_offset, record.ttl_s);
    scratch.ttl_offsets[view.ttl_cnt++] = ttl_offset;
    ++*counts[static_cast<uint32_t>(record.section)];
    if (record.section == Section::answer) view.an_end = end;
    if (record.section != Section::additional) view.ns_end = end;
    note_signature(work, record, parsed);
  }
  view.ns_end = std::max(view.ns_end, view.an_end);
}

// From the level of the TTLs to the life of the entry.
Event judge_lifetime(const Work& work, uint32_t lowest_s, AnswerView& view) noexcept {
  const uint32_t cap_s = view.negative ? std::min(work.limits.negative_ttl_s_max,
                                                  work.limits.ttl_s_max)
                                       : work.limits.ttl_s_max;
  view.lifetime_s = lowest_s == kNoTtl ? 0 : std::min(lowest_s, cap_s);
  if (view.lifetime_s == 0 || view.lifetime_s < work.limits.ttl_s_min_cacheable) {
    return Event::ins_skip_ttl;
  }
  view.lifetime_s = std::min(std::max(view.lifetime_s, work.limits.ttl_s_min), cap_s);
  return kNoSkip;
}

Verdict judge_answer(Work& work, const NameMap& names, const Key& key,
                     ParsedAnswer& parsed) noexcept {
  follow_chain(names, work.records, key.bytes + kKeyHeadBytes, key.len - kKeyHeadBytes, work.qtype,
               work.chain);
  const bool known_rcode = work.rcode == rcode::noerror || work.rcode == rcode::nxdomain ||
                           (work.rcode == rcode::yxdomain && work.chain.has_dname);
  if (!known_rcode) return fail(parsed, work.rcode, Event::ins_skip_rcode, work.limits);
  find_soa(work, names);
  if (is_lame(work)) return fail(parsed, work.rcode, Event::ins_skip_soa, work.limits);

  work.negative = work.rcode == rcode::nxdomain ||
                  (work.rcode == rcode::noerror && !work.chain.has_data);
  bool stripped;
  if (!allows_strays(work, stripped)) {
    return fail(parsed, work.rcode, Event::ins_skip_chain, work.limits);
  }
  choose_end(work, stripped);
  const uint32_t lowest_s = level_ttls(work);
  AnswerView& view = parsed.view;
  view.rcode = static_cast<uint8_t>(work.rcode);
  view.negative = work.negative;
  view.authentic_data = (work.msg[kDnsFlagsAt + 1] & kBitAd) != 0;
  write_body(work, parsed);

  parsed.rcode = view.rcode;
  parsed.skip = judge_content(work);
  const Event lifetime_skip = judge_lifetime(work, lowest_s, view);
  if (parsed.skip == kNoSkip) parsed.skip = lifetime_skip;
  if (parsed.skip == kNoSkip && work.keep_end > work.limits.entry_bytes_max) {
    parsed.skip = Event::ins_skip_size;
  }
  if (parsed.skip == kNoSkip && has_duplicate(work)) parsed.skip = Event::ins_skip_chain;
  parsed.cacheable = parsed.skip == kNoSkip;
  return Verdict::answer;
}

// True if the one question is ours and `end` is where it ends; else `verdict` says what it is.
bool match_question(const uint8_t* msg, uint32_t len, const Key& key, uint32_t& end,
                    Verdict& verdict) noexcept {
  uint32_t name_bytes;
  verdict = Verdict::malformed;
  if (measure_name(msg, len, kDnsHeaderBytes, name_bytes) != NameFault::none) return false;
  end = kDnsHeaderBytes + name_bytes + kQuestionTailBytes;
  if (end > len) return false;
  verdict = Verdict::question;
  uint8_t folded[kNameBytesMax];
  fold_name(folded, msg + kDnsHeaderBytes, name_bytes);
  const uint8_t* tail = msg + kDnsHeaderBytes + name_bytes;
  return kKeyHeadBytes + name_bytes == key.len && load_be16(tail) == load_be16(key.bytes) &&
         load_be16(tail + 2) == kClassIn &&
         std::memcmp(folded, key.bytes + kKeyHeadBytes, name_bytes) == 0;
}

}  // namespace

Verdict parse_answer(const uint8_t* msg, uint16_t len, const Key& key,
                     const abi::PacketCacheConfig& limits, AnswerScratch& scratch,
                     ParsedAnswer& parsed) noexcept {
  parsed = {};
  parsed.view.body = scratch.body;
  parsed.view.ttl_offsets = scratch.ttl_offsets;
  parsed.skip = Event::ins_skip_rcode;
  uint16_t id;
  if (check_answer_head(msg, len, id) != kGoOn) return Verdict::malformed;
  const uint16_t questions = load_be16(msg + kDnsQdCountAt);
  if (questions > 1) return Verdict::malformed;

  uint32_t body_at = kDnsHeaderBytes;
  Verdict verdict;
  if (questions == 1 && !match_question(msg, len, key, body_at, verdict)) return verdict;
  if (questions == 1 && (msg[kDnsFlagsAt] & kBitTc) != 0) {
    parsed.skip = Event::ins_skip_tc;
    return Verdict::truncated;
  }

  NameMap names(msg, len, scratch.name_facts);
  Work work(msg, len, body_at, limits, scratch);
  if (questions == 0) return judge_without_question(work, names, parsed);
  work.qtype = load_be16(key.bytes);
  names.learn(kDnsHeaderBytes, body_at);
  if (!read_records(msg, len, body_at, names, work.records)) return Verdict::malformed;
  note_options(msg, work.records, parsed);
  work.rcode = whole_rcode(msg, work.records);
  return judge_answer(work, names, key, parsed);
}

}  // namespace millrace::wire
