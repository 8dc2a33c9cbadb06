// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the checks of an image are written with: a verdict that keeps the first sentence, and the
// fields that occur in many places.
//
// Threads: any; no state but the verdict. Cost: a text for nearly every field, right or wrong, at a
// swap. Failure: none; a broken rule is a sentence in the verdict.

#include "dataplane/abi/config_image.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace millrace::snapshot {

template <class Bytes>
bool is_zero(const Bytes& bytes) {
  const auto* first = reinterpret_cast<const uint8_t*>(&bytes);
  return std::all_of(first, first + sizeof bytes, [](uint8_t b) { return b == 0; });
}

// Collects the first rule that is broken; later ones are not looked at.
class Verdict {
 public:
  bool good() const { return reason_.empty(); }
  std::string take() { return std::move(reason_); }

  void reject(std::string reason) {
    if (good()) reason_ = std::move(reason);
  }
  void in_range(const std::string& field, uint64_t value, uint64_t lowest, uint64_t highest) {
    if (value >= lowest && value <= highest) return;
    reject(field + " is " + std::to_string(value) + "; allowed " + std::to_string(lowest) + ".." +
           std::to_string(highest));
  }
  void index(const std::string& field, uint64_t value, uint64_t cnt, const char* of_what) {
    if (value < cnt) return;
    reject(field + " is " + std::to_string(value) + ", but there are " + std::to_string(cnt) + " " +
           of_what);
  }
  void flag(const std::string& field, uint8_t value) { in_range(field, value, 0, 1); }

  template <class Bytes>
  void zero(const std::string& field, const Bytes& bytes) {
    if (!is_zero(bytes)) reject(field + " is not zero; this version has no meaning for it");
  }

 private:
  std::string reason_;
};

inline std::string row(const char* table, uint32_t idx) {
  return std::string(table) + "[" + std::to_string(idx) + "]";
}

// Printable and closed by a NUL, after which nothing but NULs.
template <std::size_t kBytes>
void check_text(Verdict& verdict, const std::string& field, const char (&text)[kBytes],
                bool may_be_empty) {
  const char* end = std::find(text, text + kBytes, '\0');
  if (end == text + kBytes) {
    verdict.reject(field + " is not closed by a NUL within " + std::to_string(kBytes) + " bytes");
  } else if (end == text && !may_be_empty) {
    verdict.reject(field + " is empty");
  } else if (std::any_of(text, end, [](char c) { return c < 0x20 || c > 0x7e; })) {
    verdict.reject(field + " holds a byte that cannot be printed");
  } else if (std::any_of(end, text + kBytes, [](char c) { return c != '\0'; })) {
    verdict.reject(field + " holds bytes after its closing NUL");
  }
}

inline bool all_zero(const uint8_t* first, const uint8_t* end) {
  return std::all_of(first, end, [](uint8_t b) { return b == 0; });
}

inline void check_address(Verdict& verdict, const std::string& field, const abi::Address& address) {
  if (address.family != 4 && address.family != 6) {
    verdict.reject(field + ".family is " + std::to_string(address.family) + "; allowed 4 or 6");
  }
  if (address.family == 4 && !all_zero(address.bytes + 4, address.bytes + 16)) {
    verdict.reject(field + " is IPv4 with bytes behind the fourth that are not zero");
  }
  verdict.zero(field + ".reserved", address.reserved);
}

inline void check_endpoint(Verdict& verdict, const std::string& field,
                           const abi::Address& address) {
  check_address(verdict, field, address);
  if (address.port_be == 0) verdict.reject(field + " has port 0; allowed 1..65535");
}

inline void check_specified(Verdict& verdict, const std::string& field,
                            const abi::Address& address) {
  if (all_zero(address.bytes, address.bytes + 16)) {
    verdict.reject(field + " is the unspecified address");
  }
}

template <class Row, std::size_t kRows>
void check_unused(Verdict& verdict, const char* table, const Row (&rows)[kRows], uint32_t used) {
  // Some tables have thousands of rows, octets: names are made for what is wrong only.
  for (uint32_t i = used; i < kRows; ++i) {
    if (!is_zero(rows[i])) verdict.zero(row(table, i) + " (unused)", rows[i]);
  }
}

// Of the service section, whose data plane has that many workers.
void check_service(Verdict& verdict, const abi::ServiceSection& service, uint32_t workers);

}  // namespace millrace::snapshot
