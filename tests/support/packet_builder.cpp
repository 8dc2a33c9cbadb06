// SPDX-License-Identifier: Apache-2.0
#include "tests/support/packet_builder.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace millrace::test {
namespace {

[[noreturn]] void reject(const char* what, std::string_view text) {
  std::fprintf(stderr, "packet_builder: %s: \"%.*s\"\n", what, static_cast<int>(text.size()),
               text.data());
  std::abort();
}

void put8(Bytes& to, unsigned value) { to.push_back(static_cast<uint8_t>(value)); }

void put16(Bytes& to, unsigned value) {
  put8(to, value >> 8);
  put8(to, value);
}

void put32(Bytes& to, uint32_t value) {
  put16(to, value >> 16);
  put16(to, value & 0xffff);
}

void put(Bytes& to, const Bytes& from) { to.insert(to.end(), from.begin(), from.end()); }

void put(Bytes& to, const uint8_t* from, std::size_t bytes) {
  to.insert(to.end(), from, from + bytes);
}

// RFC 1071, octet by octet.
uint32_t sum16(const Bytes& bytes) {
  uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += (i % 2 == 0) ? static_cast<uint32_t>(bytes[i]) << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

uint16_t checksum_of(const Bytes& bytes) { return static_cast<uint16_t>(~sum16(bytes)); }

bool digit(char c) { return c >= '0' && c <= '9'; }

// Labels of `text` without the closing root label.
Bytes labels_of(std::string_view text) {
  Bytes wire;
  if (text.empty() || text == ".") return wire;
  Bytes label;
  const auto close = [&] {
    if (label.empty() || label.size() > 63) reject("label of 0 or more than 63 octets", text);
    put8(wire, static_cast<unsigned>(label.size()));
    put(wire, label);
    label.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '.') {
      close();
    } else if (text[i] != '\\') {
      label.push_back(static_cast<uint8_t>(text[i]));
    } else if (i + 3 < text.size() && digit(text[i + 1]) && digit(text[i + 2]) &&
               digit(text[i + 3])) {
      put8(label, static_cast<unsigned>(std::stoi(std::string(text.substr(i + 1, 3)))));
      i += 3;
    } else if (i + 1 < text.size()) {
      label.push_back(static_cast<uint8_t>(text[++i]));
    } else {
      reject("stray backslash", text);
    }
  }
  if (!label.empty()) close();
  return wire;
}

std::size_t address_bytes(const abi::Address& address) { return address.family == 4 ? 4 : 16; }

}  // namespace

Name::Name(const char* text) : Name(std::string_view(text)) {}

Name::Name(std::string_view text) : bytes_(labels_of(text)) { bytes_.push_back(0); }

Name Name::wire(Bytes bytes) {
  Name name;
  name.bytes_ = std::move(bytes);
  return name;
}

Name Name::pointer(uint16_t offset) { return with_pointer("", offset); }

Name Name::with_pointer(std::string_view text, uint16_t offset) {
  Name name;
  name.bytes_ = labels_of(text);
  put16(name.bytes_, 0xc000u | offset);
  return name;
}

Bytes rdata_a(std::string_view address) {
  const abi::Address parsed = address_of(address);
  return Bytes(parsed.bytes, parsed.bytes + 4);
}

Bytes rdata_aaaa(std::string_view address) {
  const abi::Address parsed = address_of(address);
  return Bytes(parsed.bytes, parsed.bytes + 16);
}

Bytes rdata_name(const Name& name) { return name.bytes(); }

Bytes rdata_mx(uint16_t preference, const Name& name) {
  Bytes rdata;
  put16(rdata, preference);
  put(rdata, name.bytes());
  return rdata;
}

Bytes rdata_txt(std::string_view text) {
  Bytes rdata;
  do {
    const std::string_view part = text.substr(0, 255);
    put8(rdata, static_cast<unsigned>(part.size()));
    rdata.insert(rdata.end(), part.begin(), part.end());
    text.remove_prefix(part.size());
  } while (!text.empty());
  return rdata;
}

Bytes rdata_soa(const SoaFields& fields) {
  Bytes rdata = fields.primary.bytes();
  put(rdata, fields.mailbox.bytes());
  for (const uint32_t value :
       {fields.serial, fields.refresh, fields.retry, fields.expire, fields.minimum}) {
    put32(rdata, value);
  }
  return rdata;
}

Bytes rdata_rrsig(const RrsigFields& fields) {
  Bytes rdata;
  put16(rdata, fields.covered);
  put8(rdata, fields.algorithm);
  put8(rdata, fields.labels);
  put32(rdata, fields.original_ttl);
  put32(rdata, fields.expiration);
  put32(rdata, fields.inception);
  put16(rdata, fields.key_tag);
  put(rdata, fields.signer.bytes());
  rdata.insert(rdata.end(), fields.signature_bytes, 0x5a);
  return rdata;
}

DnsBuilder& DnsBuilder::id(uint16_t value) {
  id_ = value;
  return *this;
}

DnsBuilder& DnsBuilder::flags(uint16_t value) {
  flags_ = value;
  return *this;
}

DnsBuilder& DnsBuilder::add_flags(uint16_t bits) {
  flags_ = static_cast<uint16_t>(flags_ | bits);
  return *this;
}

DnsBuilder& DnsBuilder::opcode(uint8_t value) {
  flags_ = static_cast<uint16_t>((flags_ & 0x87ff) | ((value & 0xf) << 11));
  return *this;
}

DnsBuilder& DnsBuilder::rcode(uint8_t value) {
  flags_ = static_cast<uint16_t>((flags_ & 0xfff0) | (value & 0xf));
  return *this;
}

DnsBuilder& DnsBuilder::question(const Name& name, uint16_t type, uint16_t cls) {
  put(body_, name.bytes());
  put16(body_, type);
  put16(body_, cls);
  ++counts_[0];
  return *this;
}

DnsBuilder& DnsBuilder::record(Section section, const Name& owner, uint16_t type, uint32_t ttl,
                               const Bytes& rdata, uint16_t cls) {
  record_with_rdlen(section, owner, type, ttl, static_cast<uint16_t>(rdata.size()), rdata);
  const std::size_t class_at = body_.size() - rdata.size() - 8;
  body_[class_at] = static_cast<uint8_t>(cls >> 8);
  body_[class_at + 1] = static_cast<uint8_t>(cls);
  return *this;
}

DnsBuilder& DnsBuilder::answer(const Name& owner, uint16_t type, uint32_t ttl,
                               const Bytes& rdata) {
  return record(Section::answer, owner, type, ttl, rdata);
}

DnsBuilder& DnsBuilder::authority(const Name& owner, uint16_t type, uint32_t ttl,
                                  const Bytes& rdata) {
  return record(Section::authority, owner, type, ttl, rdata);
}

DnsBuilder& DnsBuilder::additional(const Name& owner, uint16_t type, uint32_t ttl,
                                   const Bytes& rdata) {
  return record(Section::additional, owner, type, ttl, rdata);
}

DnsBuilder& DnsBuilder::record_with_rdlen(Section section, const Name& owner, uint16_t type,
                                          uint32_t ttl, uint16_t rdlen, const Bytes& rdata) {
  put(body_, owner.bytes());
  put16(body_, type);
  put16(body_, kClassIn);
  put32(body_, ttl);
  put16(body_, rdlen);
  put(body_, rdata);
  ++counts_[1 + static_cast<int>(section)];
  return *this;
}

DnsBuilder& DnsBuilder::opt(const OptFields& fields, Section section) {
  Bytes rdata;
  for (const Option& option : fields.options) {
    put16(rdata, option.code);
    put16(rdata, static_cast<unsigned>(option.data.size()));
    put(rdata, option.data);
  }
  put(rdata, fields.raw);
  const uint32_t ttl = static_cast<uint32_t>(fields.extended_rcode) << 24 |
                       static_cast<uint32_t>(fields.version) << 16 |
                       (fields.flag_do ? 0x8000u : 0u) | fields.other_flags;
  return record(section, fields.owner, kTypeOpt, ttl, rdata, fields.udp_bytes);
}

DnsBuilder& DnsBuilder::raw(const Bytes& bytes) {
  put(body_, bytes);
  return *this;
}

DnsBuilder& DnsBuilder::qdcount(uint16_t value) {
  forced_counts_[0] = value;
  return *this;
}

DnsBuilder& DnsBuilder::ancount(uint16_t value) {
  forced_counts_[1] = value;
  return *this;
}

DnsBuilder& DnsBuilder::nscount(uint16_t value) {
  forced_counts_[2] = value;
  return *this;
}

DnsBuilder& DnsBuilder::arcount(uint16_t value) {
  forced_counts_[3] = value;
  return *this;
}

Bytes DnsBuilder::build() const {
  Bytes message;
  put16(message, id_);
  put16(message, flags_);
  for (int i = 0; i < 4; ++i) put16(message, forced_counts_[i].value_or(counts_[i]));
  put(message, body_);
  return message;
}

abi::Address address_of(std::string_view text, uint16_t port) {
  abi::Address address{};
  const std::string copy(text);
  if (inet_pton(AF_INET, copy.c_str(), address.bytes) == 1) {
    address.family = 4;
  } else if (inet_pton(AF_INET6, copy.c_str(), address.bytes) == 1) {
    address.family = 6;
  } else {
    reject("not an address", text);
  }
  address.port_be = htons(port);
  return address;
}

FrameBuilder& FrameBuilder::mac(const uint8_t (&destination)[6], const uint8_t (&source)[6]) {
  std::copy_n(destination, 6, mac_);
  std::copy_n(source, 6, mac_ + 6);
  return *this;
}

FrameBuilder& FrameBuilder::vlan(uint16_t tci, uint16_t ether_type) {
  tags_.emplace_back(ether_type, tci);
  return *this;
}

FrameBuilder& FrameBuilder::ether_type(uint16_t value) {
  ether_type_ = value;
  return *this;
}

FrameBuilder& FrameBuilder::from(std::string_view address, uint16_t port) {
  source_ = address_of(address, port);
  return *this;
}

FrameBuilder& FrameBuilder::to(std::string_view address, uint16_t port) {
  target_ = address_of(address, port);
  return *this;
}

FrameBuilder& FrameBuilder::payload(Bytes bytes) {
  payload_ = std::move(bytes);
  return *this;
}

FrameBuilder& FrameBuilder::tos(uint8_t value) {
  tos_ = value;
  return *this;
}

FrameBuilder& FrameBuilder::flow_label(uint32_t value) {
  flow_label_ = value;
  return *this;
}

FrameBuilder& FrameBuilder::identification(uint16_t value) {
  identification_ = value;
  return *this;
}

FrameBuilder& FrameBuilder::hops(uint8_t value) {
  hops_ = value;
  return *this;
}

FrameBuilder& FrameBuilder::protocol(uint8_t value) {
  protocol_ = value;
  return *this;
}

FrameBuilder& FrameBuilder::fragment(uint16_t flags_and_offset) {
  fragment_ = flags_and_offset;
  return *this;
}

FrameBuilder& FrameBuilder::ipv4_options(Bytes bytes) {
  options_ = std::move(bytes);
  return *this;
}

FrameBuilder& FrameBuilder::extension(uint8_t type, Bytes contents) {
  while (contents.size() % 8 != 6) contents.push_back(0);
  extensions_.emplace_back(type, std::move(contents));
  return *this;
}

FrameBuilder& FrameBuilder::ihl(uint8_t words) {
  ihl_ = words;
  return *this;
}

FrameBuilder& FrameBuilder::ip_version(uint8_t value) {
  ip_version_ = value;
  return *this;
}

FrameBuilder& FrameBuilder::ip_length(uint16_t value) {
  ip_length_ = value;
  return *this;
}

FrameBuilder& FrameBuilder::ip_checksum(uint16_t value) {
  ip_checksum_ = value;
  return *this;
}

FrameBuilder& FrameBuilder::udp_length(uint16_t value) {
  udp_length_ = value;
  return *this;
}

FrameBuilder& FrameBuilder::udp_checksum(uint16_t value) {
  udp_checksum_ = value;
  return *this;
}

FrameBuilder& FrameBuilder::pad_to(std::size_t bytes) {
  pad_to_ = bytes;
  return *this;
}

FrameBuilder& FrameBuilder::truncate_to(std::size_t bytes) {
  truncate_to_ = bytes;
  return *this;
}

Bytes FrameBuilder::udp_datagram() const {
  const uint16_t length = udp_length_.value_or(static_cast<uint16_t>(8 + payload_.size()));
  Bytes datagram;
  put16(datagram, ntohs(source_.port_be));
  put16(datagram, ntohs(target_.port_be));
  put16(datagram, length);
  put16(datagram, 0);
  put(datagram, payload_);

  Bytes summed;
  put(summed, source_.bytes, address_bytes(source_));
  put(summed, target_.bytes, address_bytes(target_));
  put16(summed, 17);
  put16(summed, length);
  // The sum covers what the UDP length covers, so that a short length alone is no checksum error.
  summed.insert(summed.end(), datagram.begin(),
                datagram.begin() + std::min<std::size_t>(length, datagram.size()));
  uint16_t checksum = checksum_of(summed);
  if (checksum == 0) checksum = 0xffff;
  checksum = udp_checksum_.value_or(checksum);
  datagram[6] = static_cast<uint8_t>(checksum >> 8);
  datagram[7] = static_cast<uint8_t>(checksum);
  return datagram;
}

Bytes FrameBuilder::ipv4_packet() const {
  const Bytes datagram = udp_datagram();
  const std::size_t header_bytes = 20 + options_.size();
  Bytes packet;
  put8(packet, static_cast<unsigned>(ip_version_.value_or(4) << 4 |
                                     ihl_.value_or(static_cast<uint8_t>(header_bytes / 4))));
  put8(packet, tos_);
  put16(packet, ip_length_.value_or(static_cast<uint16_t>(header_bytes + datagram.size())));
  put16(packet, identification_);
  put16(packet, fragment_);
  put8(packet, hops_);
  put8(packet, protocol_);
  put16(packet, 0);
  put(packet, source_.bytes, 4);
  put(packet, target_.bytes, 4);
  put(packet, options_);
  const uint16_t checksum = ip_checksum_.value_or(checksum_of(packet));
  packet[10] = static_cast<uint8_t>(checksum >> 8);
  packet[11] = static_cast<uint8_t>(checksum);
  put(packet, datagram);
  return packet;
}

Bytes FrameBuilder::ipv6_packet() const {
  Bytes rest;
  for (std::size_t i = 0; i < extensions_.size(); ++i) {
    const Bytes& contents = extensions_[i].second;
    put8(rest, i + 1 < extensions_.size() ? extensions_[i + 1].first : protocol_);
    put8(rest, extensions_[i].first == 44 ? 0 : static_cast<unsigned>((contents.size() - 6) / 8));
    put(rest, contents);
  }
  put(rest, udp_datagram());

  Bytes packet;
  put32(packet, static_cast<uint32_t>(ip_version_.value_or(6)) << 28 |
                    static_cast<uint32_t>(tos_) << 20 | (flow_label_ & 0xfffff));
  put16(packet, ip_length_.value_or(static_cast<uint16_t>(rest.size())));
  put8(packet, extensions_.empty() ? protocol_ : extensions_[0].first);
  put8(packet, hops_);
  put(packet, source_.bytes, 16);
  put(packet, target_.bytes, 16);
  put(packet, rest);
  return packet;
}

Bytes FrameBuilder::build() const {
  if (source_.family != target_.family) reject("addresses of two families", "from/to");
  const bool v6 = target_.family == 6;
  Bytes frame(mac_, mac_ + 12);
  for (const auto& [type, tci] : tags_) {
    put16(frame, type);
    put16(frame, tci);
  }
  put16(frame, ether_type_.value_or(v6 ? 0x86dd : 0x0800));
  put(frame, v6 ? ipv6_packet() : ipv4_packet());
  if (frame.size() < pad_to_) frame.resize(pad_to_, 0xee);
  if (truncate_to_ && *truncate_to_ < frame.size()) frame.resize(*truncate_to_);
  return frame;
}

ExactCopy::ExactCopy(const Bytes& bytes)
    : size_(bytes.size()), data_(static_cast<uint8_t*>(std::malloc(bytes.size()))) {
  if (size_ != 0) std::memcpy(data_, bytes.data(), size_);
}

ExactCopy::~ExactCopy() { std::free(data_); }

}  // namespace millrace::test
