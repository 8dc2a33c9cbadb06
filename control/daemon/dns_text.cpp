// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/dns_text.hpp"

#include <ldns/ldns.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <memory>

#include "control/config/prefix.hpp"
#include "dataplane/base/byte_order.hpp"

namespace millrace::ctl {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kQuestionTailBytes = 4;  // QTYPE and QCLASS
constexpr uint16_t kClassIn = 1;

template <auto Free>
struct Freeing {
  template <class T>
  void operator()(T* owned) const {
    Free(owned);
  }
};
using OwnedText = std::unique_ptr<char, Freeing<&std::free>>;
using OwnedRdf = std::unique_ptr<ldns_rdf, Freeing<&ldns_rdf_deep_free>>;
using OwnedRr = std::unique_ptr<ldns_rr, Freeing<&ldns_rr_free>>;

std::string taken(char* text) {
  const OwnedText owned(text);
  return owned ? std::string(owned.get()) : std::string();
}

std::string rdata_text(const ldns_rr* rr) {
  std::string text;
  for (std::size_t i = 0; i < ldns_rr_rd_count(rr); ++i) {
    if (i != 0) text += ' ';
    text += taken(ldns_rdf2str(ldns_rr_rdf(rr, i)));
  }
  return text;
}

// The message that the body was cut from, as far as compression pointers can tell.
std::vector<uint8_t> message_around(const abi::CacheRow& row, std::span<const uint8_t> qname) {
  const std::size_t body_bytes = std::min<std::size_t>(row.body_bytes, sizeof row.body);
  const std::size_t body_at = kHeaderBytes + qname.size() + kQuestionTailBytes;
  std::vector<uint8_t> message(body_at + body_bytes);
  std::copy(qname.begin(), qname.end(), message.begin() + kHeaderBytes);
  store_be16(&message[body_at - 4], row.qtype);
  store_be16(&message[body_at - 2], kClassIn);
  std::copy_n(row.body, body_bytes, message.begin() + static_cast<std::ptrdiff_t>(body_at));
  return message;
}

Json records_json(const abi::CacheRow& row, std::span<const uint8_t> qname) {
  Json records = Json::array();
  const auto message = message_around(row, qname);
  std::size_t at = kHeaderBytes + qname.size() + kQuestionTailBytes;
  const uint32_t own_age_s = row.lifetime_s > row.ttl_s ? row.lifetime_s - row.ttl_s : 0;
  // Past its time none of the records has any left, whatever the TTL that it came with.
  const uint32_t age_s = row.stale_s != 0 ? UINT32_MAX : own_age_s;
  const std::array<std::pair<const char*, uint16_t>, 3> sections{
      {{"answer", row.an_cnt}, {"authority", row.ns_cnt}, {"additional", row.ar_cnt}}};
  for (const auto& [section, count] : sections) {
    for (uint16_t i = 0; i < count && at < message.size(); ++i) {
      ldns_rr* parsed = nullptr;
      if (ldns_wire2rr(&parsed, message.data(), message.size(), &at, LDNS_SECTION_ANSWER) !=
          LDNS_STATUS_OK) {
        return records;  // cut here
      }
      const OwnedRr rr(parsed);
      const uint32_t stored_s = ldns_rr_ttl(rr.get());
      records.push_back({{"section", section},
                         {"name", taken(ldns_rdf2str(ldns_rr_owner(rr.get())))},
                         {"ttl", stored_s > age_s ? stored_s - age_s : 0},
                         {"class", taken(ldns_rr_class2str(ldns_rr_get_class(rr.get())))},
                         {"type", record_type_text(static_cast<uint16_t>(
                                      ldns_rr_get_type(rr.get())))},
                         {"rdata", rdata_text(rr.get())}});
    }
  }
  return records;
}

// Null: it is for all clients.
Json subnet_json(const abi::CacheRow& row) {
  if (row.subnet_family == 0) return nullptr;
  Prefix prefix{.family = static_cast<uint8_t>(row.subnet_family == 1 ? 4 : 6),
                .bits = row.subnet_bits};
  std::copy_n(row.subnet, prefix.family == 4 ? 4 : sizeof row.subnet, prefix.bytes.begin());
  return {{"prefix", prefix.text()},
          {"scope", row.subnet_scope},
          {"exact", row.subnet_exact != 0}};
}

}  // namespace

Result<std::vector<uint8_t>> wire_name(const std::string& text) {
  ldns_rdf* parsed = nullptr;
  // The library would read up to the NUL only.
  const bool cut = text.find('\0') != std::string::npos;
  const ldns_status status = text.empty() ? LDNS_STATUS_EMPTY_LABEL
                             : cut        ? LDNS_STATUS_SYNTAX_DNAME_ERR
                                          : ldns_str2rdf_dname(&parsed, text.c_str());
  const OwnedRdf name(parsed);
  if (status != LDNS_STATUS_OK) {
    return Status(Code::usage, "name \"" + text + "\": " + ldns_get_errorstr_by_id(status));
  }
  const uint8_t* bytes = ldns_rdf_data(name.get());
  return std::vector<uint8_t>(bytes, bytes + ldns_rdf_size(name.get()));
}

std::string name_text(std::span<const uint8_t> wire) {
  const OwnedRdf name(
      ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, wire.size(), wire.data()));
  return name ? taken(ldns_rdf2str(name.get())) : std::string();
}

Result<uint16_t> record_type(const std::string& text) {
  std::string upper = text;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const Status unknown(Code::usage, "type \"" + text +
                                        "\" is unknown; use a name such as AAAA, or "
                                        "TYPE1..TYPE65535");
  uint32_t number = 0;
  if (upper.starts_with("TYPE")) {
    const char* end = upper.data() + upper.size();
    const auto parsed = std::from_chars(upper.data() + 4, end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end) return unknown;
  } else if (upper.find('\0') == std::string::npos) {
    number = static_cast<uint32_t>(ldns_get_rr_type_by_name(upper.c_str()));
  }
  if (number == 0 || number > 0xffff) return unknown;
  return static_cast<uint16_t>(number);
}

std::string record_type_text(uint16_t type) {
  return taken(ldns_rr_type2str(static_cast<ldns_rr_type>(type)));
}

std::string rcode_text(uint8_t rcode) {
  const ldns_lookup_table* row = ldns_lookup_by_id(ldns_rcodes, rcode);
  return row != nullptr ? row->name : "RCODE" + std::to_string(rcode);
}

Result<std::span<const uint8_t>> name_of_row(const abi::CacheRow& row) {
  const std::span<const uint8_t> name(row.name, row.name_bytes);
  std::size_t at = 0;
  while (at < name.size() && name[at] != 0 && name[at] <= LDNS_MAX_LABELLEN) at += 1u + name[at];
  if (at + 1 == name.size() && name[at] == 0) return name;
  return Status(Code::error, "data plane sent an entry without a valid name");
}

Json cache_row_json(const abi::CacheRow& row, std::span<const uint8_t> qname) {
  Json records = records_json(row, qname);
  const std::size_t promised = std::size_t{row.an_cnt} + row.ns_cnt + row.ar_cnt;
  return {{"name", name_text(qname)},
          {"class", "IN"},  // others are never cached
          {"type", record_type_text(row.qtype)},
          {"rcode", rcode_text(row.rcode)},
          {"ttl", row.ttl_s},
          {"lifetime", row.lifetime_s},
          {"stale", row.stale_s != 0 ? Json(row.stale_s) : Json()},
          {"do", row.flag_do != 0},
          {"cd", row.flag_cd != 0},
          {"ad", row.authentic_data != 0},
          {"negative", row.negative != 0},
          {"client_subnet", subnet_json(row)},
          {"complete", records.size() == promised},
          {"records", std::move(records)}};
}

}  // namespace millrace::ctl
