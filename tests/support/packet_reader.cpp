// SPDX-License-Identifier: Apache-2.0
#include "tests/support/packet_reader.hpp"

#include <algorithm>

namespace millrace::test {
namespace {

// Reads big-endian integers; past the end it reads zeroes and remembers.
class Cursor {
 public:
  Cursor(const Bytes& bytes, std::size_t at, std::size_t end) : bytes_(bytes), at_(at), end_(end) {}
  uint8_t u8() {
    if (at_ >= end_ || at_ >= bytes_.size()) {
      overrun_ = true;
      return 0;
    }
    return bytes_[at_++];
  }
  uint16_t u16() {
    const unsigned high = u8();
    return static_cast<uint16_t>(high << 8 | u8());
  }
  uint32_t u32() {
    const uint32_t high = u16();
    return high << 16 | u16();
  }
  Bytes take(std::size_t count) {
    Bytes taken;
    for (std::size_t i = 0; i < count && !overrun_; ++i) taken.push_back(u8());
    return taken;
  }
  void skip(std::size_t count) { at_ += count; }
  std::size_t at() const { return at_; }
  bool overrun() const { return overrun_; }

 private:
  const Bytes& bytes_;
  std::size_t at_;
  std::size_t end_;
  bool overrun_ = false;
};

uint32_t sum_words(const Bytes& bytes, std::size_t from, std::size_t to) {
  uint32_t sum = 0;
  for (std::size_t i = from; i < to; ++i) {
    sum += ((i - from) % 2 == 0) ? static_cast<uint32_t>(bytes[i]) << 8 : bytes[i];
  }
  return sum;
}

bool sums_to_ones(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff;
}

void fail(std::string* why, const char* text) {
  if (why != nullptr) *why = text;
}

bool read_name(const Bytes& message, Cursor& cursor, Bytes& name) {
  std::size_t at = cursor.at();
  std::size_t limit = at;  // the next pointer must lead below this
  bool jumped = false;
  for (;;) {
    if (at >= message.size()) return false;
    const uint8_t length = message[at];
    if (length >= 0xc0) {
      if (at + 1 >= message.size()) return false;
      const std::size_t to = static_cast<std::size_t>(length & 0x3f) << 8 | message[at + 1];
      if (!jumped) cursor.skip(at + 2 - cursor.at());
      if (to >= limit || to < 12) return false;
      jumped = true;
      limit = to;
      at = to;
      continue;
    }
    if (length > 63 || at + 1 + length > message.size()) return false;
    name.insert(name.end(), message.begin() + static_cast<std::ptrdiff_t>(at),
                message.begin() + static_cast<std::ptrdiff_t>(at + 1 + length));
    if (name.size() > 255) return false;
    at += 1u + length;
    if (length == 0) break;
  }
  if (!jumped) cursor.skip(at - cursor.at());
  return true;
}

}  // namespace

std::optional<ReadFrame> read_frame(const Bytes& frame, std::string* why) {
  ReadFrame out{};
  Cursor cursor(frame, 0, frame.size());
  for (uint8_t& octet : out.destination_mac) octet = cursor.u8();
  for (uint8_t& octet : out.source_mac) octet = cursor.u8();
  uint16_t type = cursor.u16();
  while (type == 0x8100 || type == 0x88a8) {
    out.tags.push_back(cursor.u16());
    type = cursor.u16();
  }
  const std::size_t l3 = cursor.at();
  const std::size_t address_bytes = type == 0x0800 ? 4 : 16;
  std::size_t ip_payload_bytes = 0;
  uint8_t protocol = 0;
  if (type == 0x0800) {
    if (cursor.u8() != 0x45) return fail(why, "IPv4 version or header length"), std::nullopt;
    out.tos = cursor.u8();
    const uint16_t total = cursor.u16();
    if (total < 28) return fail(why, "IPv4 total length"), std::nullopt;
    ip_payload_bytes = total - 20u;
    out.ip_id = cursor.u16();
    out.fragment = cursor.u16();
    out.hops = cursor.u8();
    protocol = cursor.u8();
    cursor.u16();
  } else if (type == 0x86dd) {
    const uint32_t word = cursor.u32();
    if (word >> 28 != 6) return fail(why, "IPv6 version"), std::nullopt;
    out.tos = static_cast<uint8_t>(word >> 20);
    out.flow_label = word & 0xfffff;
    ip_payload_bytes = cursor.u16();
    protocol = cursor.u8();
    out.hops = cursor.u8();
  } else {
    return fail(why, "ether type"), std::nullopt;
  }
  out.source.family = out.target.family = type == 0x0800 ? 4 : 6;
  const std::size_t addresses = cursor.at();
  for (std::size_t i = 0; i < address_bytes; ++i) out.source.bytes[i] = cursor.u8();
  for (std::size_t i = 0; i < address_bytes; ++i) out.target.bytes[i] = cursor.u8();
  const std::size_t udp = cursor.at();
  if (cursor.overrun()) return fail(why, "headers cut short"), std::nullopt;
  if (type == 0x0800 && !sums_to_ones(sum_words(frame, l3, udp))) {
    return fail(why, "IPv4 header checksum"), std::nullopt;
  }
  if (protocol != 17) return fail(why, "not UDP"), std::nullopt;
  if (udp + ip_payload_bytes > frame.size()) return fail(why, "IP length"), std::nullopt;
  const uint16_t source_port = cursor.u16();
  const uint16_t target_port = cursor.u16();
  out.source.port_be = static_cast<uint16_t>(source_port << 8 | source_port >> 8);
  out.target.port_be = static_cast<uint16_t>(target_port << 8 | target_port >> 8);
  const uint16_t length = cursor.u16();
  const uint16_t checksum = cursor.u16();
  if (length != ip_payload_bytes || length < 8) return fail(why, "UDP length"), std::nullopt;
  out.udp_checksum_present = checksum != 0;
  if (checksum == 0 && type != 0x0800) return fail(why, "no UDP checksum on IPv6"), std::nullopt;
  const uint64_t sum = uint64_t{sum_words(frame, addresses, udp)} +
                       sum_words(frame, udp, udp + length) + 17u + length;
  if (checksum != 0 && !sums_to_ones(sum)) return fail(why, "UDP checksum"), std::nullopt;
  out.payload = cursor.take(length - 8u);
  return out;
}

const ReadRecord* ReadMessage::opt() const {
  for (const ReadRecord& record : records) {
    if (record.type == kTypeOpt && record.section == Section::additional) return &record;
  }
  return nullptr;
}

std::size_t ReadMessage::count(Section section) const {
  return static_cast<std::size_t>(
      std::count_if(records.begin(), records.end(),
                    [&](const ReadRecord& record) { return record.section == section; }));
}

std::vector<uint16_t> ReadMessage::extended_errors() const {
  std::vector<uint16_t> codes;
  const ReadRecord* record = opt();
  if (record == nullptr) return codes;
  Cursor cursor(record->rdata, 0, record->rdata.size());
  while (cursor.at() < record->rdata.size()) {
    const uint16_t code = cursor.u16();
    const uint16_t length = cursor.u16();
    Cursor inside = cursor;
    if (code == 15) codes.push_back(inside.u16());
    cursor.skip(length);
  }
  return codes;
}

std::optional<ReadMessage> read_message(const Bytes& message, std::string* why) {
  ReadMessage out{};
  if (message.size() < 12) return fail(why, "shorter than a header"), std::nullopt;
  Cursor cursor(message, 0, message.size());
  out.id = cursor.u16();
  out.flags = cursor.u16();
  for (uint16_t& count : out.counts) count = cursor.u16();
  for (unsigned i = 0; i < out.counts[0]; ++i) {
    ReadQuestion question;
    if (!read_name(message, cursor, question.name)) return fail(why, "question"), std::nullopt;
    question.type = cursor.u16();
    question.cls = cursor.u16();
    if (cursor.overrun()) return fail(why, "question cut short"), std::nullopt;
    out.questions.push_back(question);
  }
  for (const Section section : {Section::answer, Section::authority, Section::additional}) {
    for (unsigned i = 0; i < out.counts[1 + static_cast<int>(section)]; ++i) {
      ReadRecord record{};
      record.section = section;
      record.offset = cursor.at();
      if (!read_name(message, cursor, record.owner)) return fail(why, "owner"), std::nullopt;
      record.type = cursor.u16();
      record.cls = cursor.u16();
      record.ttl_offset = cursor.at();
      record.ttl = cursor.u32();
      const uint16_t length = cursor.u16();
      record.rdata = cursor.take(length);
      if (cursor.overrun()) return fail(why, "record cut short"), std::nullopt;
      out.records.push_back(std::move(record));
    }
  }
  out.end = cursor.at();
  return out;
}

Bytes folded(const Bytes& name) {
  Bytes lower = name;
  for (uint8_t& octet : lower) {
    if (octet >= 'A' && octet <= 'Z') octet = static_cast<uint8_t>(octet + 32);
  }
  return lower;
}

}  // namespace millrace::test
