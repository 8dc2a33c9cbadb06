// SPDX-License-Identifier: Apache-2.0
#pragma once
// Takes frames and DNS messages apart: slow, strict, and sharing no code with the product, so that
// a test may use it as the second opinion.
//
// Both readers answer std::nullopt (and say why in `*why`) for anything that a correct sender would
// not have sent.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/packet_builder.hpp"

namespace millrace::test {

struct ReadFrame {
  uint8_t destination_mac[6];
  uint8_t source_mac[6];
  std::vector<uint16_t> tags;  // TCIs, outermost first
  abi::Address source;         // with port
  abi::Address target;
  uint8_t tos;
  uint8_t hops;
  uint16_t fragment;           // IPv4: that word of the header
  uint16_t ip_id;
  uint32_t flow_label;
  bool udp_checksum_present;
  Bytes payload;
};

// IPv4 without options or IPv6 without extension headers, UDP; every length must agree and every
// checksum must verify. Octets behind the IP packet are allowed (Ethernet padding).
std::optional<ReadFrame> read_frame(const Bytes& frame, std::string* why = nullptr);

struct ReadRecord {
  Section section;
  Bytes owner;  // decompressed, case kept
  uint16_t type;
  uint16_t cls;
  uint32_t ttl;
  Bytes rdata;            // as it stands
  std::size_t offset;     // of the record in the message
  std::size_t ttl_offset; // of its TTL in the message
};

struct ReadQuestion {
  Bytes name;  // decompressed, case kept
  uint16_t type;
  uint16_t cls;
};

struct ReadMessage {
  uint16_t id;
  uint16_t flags;
  uint16_t counts[4];
  std::vector<ReadQuestion> questions;
  std::vector<ReadRecord> records;
  std::size_t end;  // of the last record

  uint8_t rcode() const { return static_cast<uint8_t>(flags & 0xf); }
  uint8_t opcode() const { return static_cast<uint8_t>(flags >> 11 & 0xf); }
  bool has(uint16_t flag) const { return (flags & flag) != 0; }
  const ReadRecord* opt() const;  // in the additional section, or null
  std::size_t count(Section section) const;
  // EXTENDED-DNS-ERROR codes of the OPT.
  std::vector<uint16_t> extended_errors() const;
};

// Pointers must point strictly backwards, and not into the header.
std::optional<ReadMessage> read_message(const Bytes& message, std::string* why = nullptr);

// Lower-cased copy, ASCII only.
Bytes folded(const Bytes& name);

}  // namespace millrace::test
