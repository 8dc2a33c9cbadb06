// SPDX-License-Identifier: Apache-2.0
#pragma once
// The members of an object as YAML text, in the order of fields.def.

#include "control/config/fields.hpp"

#include <string>
#include <utility>
#include <vector>

namespace millrace::ctl {

struct FieldText {
  FieldInfo info;
  std::string text;

  // An optional text that is not given: it is not written, since a reader would wonder about it.
  bool is_absent() const { return text == "\"\""; }
};

template <class Object>
std::vector<FieldText> texts_of(const Object& object) {
  std::vector<FieldText> texts;
  for_each_field(object, [&](auto kind, const FieldInfo& info, const auto& member) {
    texts.push_back({info, decltype(kind)::format(member)});
  });
  return texts;
}

// "{name: r1, address: ...}"
template <class Object>
std::string flow_text(const Object& object) {
  std::string text = "{";
  for (const FieldText& field : texts_of(object)) {
    if (field.is_absent()) continue;
    text += (text.size() > 1 ? ", " : "") + std::string(field.info.key) + ": " + field.text;
  }
  return text + "}";
}

}  // namespace millrace::ctl
