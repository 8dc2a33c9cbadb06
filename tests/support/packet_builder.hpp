// SPDX-License-Identifier: Apache-2.0
#pragma once
// Makes DNS messages and the frames that carry them, good ones by default and bad ones on request.
//
//   Bytes query = DnsBuilder().id(7).rd().question("www.example.com", kTypeA).opt().build();
//   Bytes frame = FrameBuilder().from("198.18.0.9", 40000).to("198.18.0.53", 53)
//                               .payload(query).build();
//
// Lengths, counts and checksums are computed at build(), unless a setter has fixed them to another
// value. Every setter returns the builder; a builder may be copied and built many times.
//
// Names are text ("www.example.com", final dot optional, "." is the root; "\." is a dot and "\065"
// an octet within a label), or wire bytes made by Name::wire / Name::pointer / Name::with_pointer.
// Nothing is compressed unless asked for. Wrong text ends the test program with a message.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/abi/abi_base.hpp"

namespace millrace::test {

using Bytes = std::vector<uint8_t>;

inline constexpr uint16_t kTypeA = 1;
inline constexpr uint16_t kTypeNs = 2;
inline constexpr uint16_t kTypeCname = 5;
inline constexpr uint16_t kTypeSoa = 6;
inline constexpr uint16_t kTypeHinfo = 13;
inline constexpr uint16_t kTypeMx = 15;
inline constexpr uint16_t kTypeTxt = 16;
inline constexpr uint16_t kTypeSig = 24;
inline constexpr uint16_t kTypeAaaa = 28;
inline constexpr uint16_t kTypeDname = 39;
inline constexpr uint16_t kTypeOpt = 41;
inline constexpr uint16_t kTypeRrsig = 46;
inline constexpr uint16_t kTypeNsec = 47;
inline constexpr uint16_t kTypeTsig = 250;
inline constexpr uint16_t kTypeIxfr = 251;
inline constexpr uint16_t kTypeAxfr = 252;
inline constexpr uint16_t kTypeAny = 255;
inline constexpr uint16_t kClassIn = 1;
inline constexpr uint16_t kClassCh = 3;

// Header flag bits, as they stand in the second 16-bit word.
inline constexpr uint16_t kFlagQr = 0x8000;
inline constexpr uint16_t kFlagAa = 0x0400;
inline constexpr uint16_t kFlagTc = 0x0200;
inline constexpr uint16_t kFlagRd = 0x0100;
inline constexpr uint16_t kFlagRa = 0x0080;
inline constexpr uint16_t kFlagZ = 0x0040;
inline constexpr uint16_t kFlagAd = 0x0020;
inline constexpr uint16_t kFlagCd = 0x0010;

// The question's name always starts here.
inline constexpr uint16_t kQuestionOffset = 12;

class Name {
 public:
  Name(const char* text);  // NOLINT: text converts to a name on purpose
  Name(std::string_view text);  // NOLINT
  Name(const std::string& text) : Name(std::string_view(text)) {}  // NOLINT
  static Name wire(Bytes bytes);
  static Name pointer(uint16_t offset);
  // Labels of `text`, then a pointer instead of the root.
  static Name with_pointer(std::string_view text, uint16_t offset);

  const Bytes& bytes() const { return bytes_; }

 private:
  Name() = default;
  Bytes bytes_;
};

// RDATA of the common types.
Bytes rdata_a(std::string_view address);
Bytes rdata_aaaa(std::string_view address);
Bytes rdata_name(const Name& name);  // NS, CNAME, DNAME, PTR
Bytes rdata_mx(uint16_t preference, const Name& name);
Bytes rdata_txt(std::string_view text);
struct SoaFields {
  Name primary = "ns.example";
  Name mailbox = "hostmaster.example";
  uint32_t serial = 1, refresh = 7200, retry = 3600, expire = 604800, minimum = 300;
};
Bytes rdata_soa(const SoaFields& fields);
struct RrsigFields {
  uint16_t covered = kTypeA;
  uint8_t algorithm = 13, labels = 2;
  uint32_t original_ttl = 300, expiration = 0, inception = 0;
  uint16_t key_tag = 1;
  Name signer = "example";
  uint32_t signature_bytes = 64;
};
Bytes rdata_rrsig(const RrsigFields& fields);

struct Option {
  uint16_t code;
  Bytes data;
};

struct OptFields {
  uint16_t udp_bytes = 1232;
  bool flag_do = false;
  uint8_t extended_rcode = 0;
  uint8_t version = 0;
  uint16_t other_flags = 0;  // ORed into the flags
  std::vector<Option> options = {};
  Bytes raw = {};  // after the options
  Name owner = ".";
};

enum class Section { answer, authority, additional };

class DnsBuilder {
 public:
  DnsBuilder& id(uint16_t value);
  DnsBuilder& flags(uint16_t value);  // the whole word, opcode and RCODE included
  DnsBuilder& add_flags(uint16_t bits);
  DnsBuilder& rd() { return add_flags(kFlagRd); }
  DnsBuilder& response() { return add_flags(kFlagQr | kFlagRa); }
  DnsBuilder& opcode(uint8_t value);
  DnsBuilder& rcode(uint8_t value);

  DnsBuilder& question(const Name& name, uint16_t type, uint16_t cls = kClassIn);
  // Records are counted in `section` and written in the order of the calls.
  DnsBuilder& record(Section section, const Name& owner, uint16_t type, uint32_t ttl,
                     const Bytes& rdata, uint16_t cls = kClassIn);
  DnsBuilder& answer(const Name& owner, uint16_t type, uint32_t ttl, const Bytes& rdata);
  DnsBuilder& authority(const Name& owner, uint16_t type, uint32_t ttl, const Bytes& rdata);
  DnsBuilder& additional(const Name& owner, uint16_t type, uint32_t ttl, const Bytes& rdata);
  // An RDLENGTH that need not agree with the bytes that follow.
  DnsBuilder& record_with_rdlen(Section section, const Name& owner, uint16_t type, uint32_t ttl,
                                uint16_t rdlen, const Bytes& rdata);
  DnsBuilder& opt(const OptFields& fields = {}, Section section = Section::additional);
  DnsBuilder& raw(const Bytes& bytes);  // counted nowhere

  DnsBuilder& qdcount(uint16_t value);
  DnsBuilder& ancount(uint16_t value);
  DnsBuilder& nscount(uint16_t value);
  DnsBuilder& arcount(uint16_t value);

  // Where the next record will start: the offset to give to Name::pointer.
  uint16_t offset() const { return static_cast<uint16_t>(12 + body_.size()); }

  Bytes build() const;

 private:
  uint16_t id_ = 0x1234;
  uint16_t flags_ = 0;
  uint16_t counts_[4] = {};
  std::optional<uint16_t> forced_counts_[4];
  Bytes body_;
};

// "198.18.0.1" or "fd00:18::1".
abi::Address address_of(std::string_view text, uint16_t port = 0);

class FrameBuilder {
 public:
  FrameBuilder& mac(const uint8_t (&destination)[6], const uint8_t (&source)[6]);
  FrameBuilder& vlan(uint16_t tci, uint16_t ether_type = 0x8100);  // repeat for a stack
  FrameBuilder& ether_type(uint16_t value);                        // default: from the address
  FrameBuilder& from(std::string_view address, uint16_t port);
  FrameBuilder& to(std::string_view address, uint16_t port);
  FrameBuilder& payload(Bytes bytes);

  FrameBuilder& tos(uint8_t value);      // IPv6: traffic class
  FrameBuilder& flow_label(uint32_t value);
  FrameBuilder& hops(uint8_t value);     // TTL or hop limit
  FrameBuilder& identification(uint16_t value);  // IPv4
  FrameBuilder& protocol(uint8_t value); // of the last header; default UDP
  FrameBuilder& fragment(uint16_t flags_and_offset);  // IPv4: that word; default DF
  FrameBuilder& ipv4_options(Bytes bytes);            // a multiple of 4
  // IPv6 extension header of `type`, contents after next-header and length octets; the contents
  // are padded to 8k+6 octets. Fragment header (44): exactly 6 octets.
  FrameBuilder& extension(uint8_t type, Bytes contents);

  FrameBuilder& ihl(uint8_t words);
  FrameBuilder& ip_version(uint8_t value);
  FrameBuilder& ip_length(uint16_t value);  // IPv4 total length, IPv6 payload length
  FrameBuilder& ip_checksum(uint16_t value);
  FrameBuilder& udp_length(uint16_t value);
  FrameBuilder& udp_checksum(uint16_t value);
  FrameBuilder& pad_to(std::size_t bytes);       // Ethernet padding, 0xEE octets
  FrameBuilder& truncate_to(std::size_t bytes);  // cut the finished frame

  Bytes build() const;

 private:
  Bytes ipv4_packet() const;
  Bytes ipv6_packet() const;
  Bytes udp_datagram() const;

  uint8_t mac_[12] = {0x02, 0, 0, 0, 0, 0x53, 0x02, 0, 0, 0, 0, 0x09};
  std::vector<std::pair<uint16_t, uint16_t>> tags_;  // ether type, TCI
  std::optional<uint16_t> ether_type_;
  abi::Address source_ = address_of("198.18.0.9", 40000);
  abi::Address target_ = address_of("198.18.0.53", 53);
  Bytes payload_;
  uint8_t tos_ = 0;
  uint32_t flow_label_ = 0;
  uint8_t hops_ = 64;
  uint8_t protocol_ = 17;
  uint16_t fragment_ = 0x4000;
  uint16_t identification_ = 0x4d52;
  Bytes options_;
  std::vector<std::pair<uint8_t, Bytes>> extensions_;
  std::optional<uint8_t> ihl_, ip_version_;
  std::optional<uint16_t> ip_length_, ip_checksum_, udp_length_, udp_checksum_;
  std::size_t pad_to_ = 0;
  std::optional<std::size_t> truncate_to_;
};

// A copy that ends exactly at the end of a heap block, so that AddressSanitizer sees a read of the
// octet behind it.
class ExactCopy {
 public:
  explicit ExactCopy(const Bytes& bytes);
  ~ExactCopy();
  ExactCopy(const ExactCopy&) = delete;
  ExactCopy& operator=(const ExactCopy&) = delete;
  uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }
  uint16_t len() const { return static_cast<uint16_t>(size_); }

 private:
  std::size_t size_;
  uint8_t* data_;
};

}  // namespace millrace::test
