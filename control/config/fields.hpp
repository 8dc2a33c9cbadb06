// SPDX-License-Identifier: Apache-2.0
#pragma once
// fields.def as code: what is known about each key, and a walk over the members of a Config.
//
//     for_each_section(config, [](const SectionInfo&, auto& list_or_group) { ... });
//     for_each_field(object, [](auto kind, const FieldInfo&, auto& member) { ... });
//
// `kind` is an empty object of a type of kinds.hpp that says how the member is read and written.

#include "control/config/diff.hpp"
#include "control/config/kinds.hpp"
#include "control/config/model.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace millrace::ctl {

struct SectionInfo {
  std::string_view key;
  Presence presence;      // of a list; a group is always optional
  std::size_t count_max;  // 0: a group
  ReloadClass reload;     // of the membership of a list
  std::string_view help;

  bool is_list() const { return count_max != 0; }
};

template <class ConfigType, class Visit>
void for_each_section(ConfigType& config, Visit&& visit) {
#define MR_LIST(member, Type, presence, count_max, reload, help)                        \
  visit(SectionInfo{#member, Presence::presence, count_max, ReloadClass::reload, help}, \
        config.member);
#define MR_GROUP(member, Type, help) \
  visit(SectionInfo{#member, Presence::optional, 0, ReloadClass::live, help}, config.member);
#include "control/config/fields.def"
}

template <class Object, class Visit>
void for_each_field([[maybe_unused]] Object& object, Visit&& visit) {
  using Plain = std::remove_const_t<Object>;
#define MR_FIELD(Type, key, member, kind, presence, lo, hi, reload, help)                        \
  if constexpr (std::is_same_v<Plain, Type>) {                                                   \
    visit(kinds::kind{}, FieldInfo{#key, Presence::presence, lo, hi, ReloadClass::reload, help}, \
          object.member);                                                                        \
  }
#include "control/config/fields.def"
}

}  // namespace millrace::ctl
