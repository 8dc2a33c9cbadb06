// SPDX-License-Identifier: Apache-2.0
#pragma once
// Paths of keys, "binds[1].pool", as what stands in what.

#include <set>
#include <string>
#include <utility>

namespace millrace::ctl {

// The container that a path stands in: "binds[1].pool" -> "binds[1]" -> "binds" -> "".
inline std::string outer_key(const std::string& path) {
  const std::size_t cut = path.find_last_of(".[");
  return cut == path.npos ? "" : path.substr(0, cut);
}

class KeySet {
 public:
  void insert(std::string key) { keys_.insert(std::move(key)); }

  // Holds the key itself, something in it, or something that it is in.
  bool touches(const std::string& key) const {
    if (key.empty()) return false;
    for (auto it = keys_.lower_bound(key); it != keys_.end() && it->starts_with(key); ++it) {
      const char next = it->size() == key.size() ? '.' : (*it)[key.size()];
      if (next == '.' || next == '[') return true;
    }
    for (std::string around = outer_key(key); !around.empty(); around = outer_key(around)) {
      if (keys_.contains(around)) return true;
    }
    return false;
  }

 private:
  std::set<std::string> keys_;
};

}  // namespace millrace::ctl
