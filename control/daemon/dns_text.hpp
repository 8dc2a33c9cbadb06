// SPDX-License-Identifier: Apache-2.0
#pragma once
// Names, types and cached answers as people write and read them. The only file that knows ldns.
//
// Cold: for `millrace cache` alone. Input from the operator and, in bodies, from upstreams: nothing
// in it is trusted; a body is read as far as it makes sense.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "control/base/status.hpp"
#include "dataplane/abi/control_protocol.hpp"

namespace millrace::ctl {

// Presentation form to wire form; a missing dot at the end is taken as written.
Result<std::vector<uint8_t>> wire_name(const std::string& text);
std::string name_text(std::span<const uint8_t> wire);

// "AAAA", "aaaa" or "TYPE28".
Result<uint16_t> record_type(const std::string& text);
std::string record_type_text(uint16_t type);
std::string rcode_text(uint8_t rcode);

// The name in a row that the data plane sent, or why it is none.
Result<std::span<const uint8_t>> name_of_row(const abi::CacheRow& row);

// One cache row: name, class, type, rcode, lifetimes, flags, records, and for which clients it is
// (client_subnet; null: all). Records have a section,
// owner, ttl (left), class, type and rdata in presentation form, the generic one of RFC 3597 where
// the type is unknown. `qname`: what the row answers, as the operator may have spelt it.
nlohmann::json cache_row_json(const abi::CacheRow& row, std::span<const uint8_t> qname);

}  // namespace millrace::ctl
