// SPDX-License-Identifier: Apache-2.0
#include "control/config/dump.hpp"

#include "control/config/format.hpp"

namespace millrace::ctl {
namespace {

template <class Object>
void dump_fields(const Object& object, const std::string& first, const std::string& rest,
                 std::string& out) {
  const std::string* indent = &first;
  for (const FieldText& field : texts_of(object)) {
    if (field.is_absent()) continue;
    out += *indent + std::string(field.info.key) + ": " + field.text + "\n";
    indent = &rest;
  }
}

template <class Object>
void dump_section(const std::vector<Object>& list, std::string& out) {
  // The heading is there already; a list of nothing must not read as nothing.
  if (list.empty()) out.insert(out.size() - 1, " []");
  for (const Object& object : list) {
    dump_fields(object, "  - ", "    ", out);
  }
}

template <class Object>
void dump_section(const Object& group, std::string& out) {
  dump_fields(group, "  ", "  ", out);
}

}  // namespace

std::string dump_yaml(const Config& config) {
  std::string out;
  for_each_section(config, [&](const SectionInfo& info, const auto& section) {
    out += std::string(info.key) + ":\n";
    dump_section(section, out);
  });
  return out;
}

}  // namespace millrace::ctl
