// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which names are answered here: the local zones of the config, by suffix, the longest first.
//
// A name is walked from the root down; the hash of each suffix comes from that of the one before it
// and one label, and finds the zone of that very suffix in an open table:
//
//     www.10.in-addr.arpa    hash(arpa) ─▶ no    hash(in-addr, arpa) ─▶ no
//                            hash(10, in-addr, arpa) ─▶ zone 10.in-addr.arpa
//
// Threads: private to its core. Memory: 9 KiB in the object. Cost: some 5 instructions for each
// octet of the name's last labels, no more of them than the deepest zone has, and one probe a
// label; asked for names alone that the cache does not know. The hash has no secret: the table is
// the operator's, so a name that shares a slot costs its sender one comparison of ours.
// Failure: none; the config was verified.

#include <cstdint>

#include "dataplane/abi/config_image.hpp"

namespace millrace::dp {

class LocalZones {
 public:
  struct Match {
    abi::LocalKind kind;
    uint8_t at;  // where in the name that was asked for the zone's name begins
  };

  // Takes the zones of a verified config over.
  void load(const abi::ServiceSection& service) noexcept;

  // `name`: wire form, lower case, whole. False: no zone of ours, and `match` is as it was.
  bool find(const uint8_t* name, Match& match) const noexcept;

 private:
  static constexpr uint32_t kSlots = 2 * abi::kLocalZonesMax;

  struct Zone {
    uint32_t hash;
    uint16_t name_at;  // in names_
    uint8_t name_bytes;
    abi::LocalKind kind;
  };

  const Zone* zone_at(uint32_t hash, const uint8_t* name, uint32_t bytes) const noexcept;

  uint32_t labels_max_ = 0;          // of a zone's name
  uint16_t slots_[kSlots] = {};      // 1 + index of a zone; 0: free
  Zone zones_[abi::kLocalZonesMax];
  uint8_t names_[abi::kLocalNameBytesMax];
};

}  // namespace millrace::dp
