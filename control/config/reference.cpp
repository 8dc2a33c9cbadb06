// SPDX-License-Identifier: Apache-2.0
#include "control/config/reference.hpp"

#include "control/config/format.hpp"

namespace millrace::ctl {
namespace {

std::string code(const std::string& text) {
  return "`" + text + "`";
}

template <class Object>
std::string rows(const Object& defaults) {
  std::string out =
      "| key | type | default | allowed | reload | meaning |\n"
      "|---|---|---|---|---|---|\n";
  for_each_field(defaults, [&](auto kind, const FieldInfo& info, const auto& member) {
    using Kind = decltype(kind);
    const std::string written = Kind::format(member);
    std::string fallback = written == "\"\"" ? "none" : code(written);
    if (info.presence == Presence::required) fallback = "required";
    const std::string allowed = Kind::allowed(info);
    out += "| " + code(std::string(info.key)) + " | " + Kind::type(info) + " | " + fallback +
           " | " + allowed + " | " + std::string(reload_class_name(info.reload)) + " | " +
           std::string(info.help) + " |\n";
  });
  return out;
}

template <class Object>
std::string section_rows(const std::vector<Object>&) {
  return rows(Object{});
}

template <class Object>
std::string section_rows(const Object& group) {
  return rows(group);
}

}  // namespace

std::string reference_markdown() {
  std::string out;
  const Config defaults;
  for_each_section(defaults, [&](const SectionInfo& info, const auto& section) {
    out += "### " + code(std::string(info.key)) + "\n\n" + std::string(info.help);
    if (info.is_list()) {
      const std::string least = info.presence == Presence::required ? "1" : "0";
      out += " A list of " + least + " to " + std::to_string(info.count_max) +
             " named objects; adding, removing and reordering them: " +
             std::string(reload_class_name(info.reload)) + ".";
    }
    out += "\n\n" + section_rows(section) + "\n";
  });
  return out;
}

}  // namespace millrace::ctl
