// SPDX-License-Identifier: Apache-2.0
#include "control/config/dump.hpp"

#include "control/config/format.hpp"

namespace millrace::ctl {
namespace {

// An entry of each list: what has no default has an example.
Config examples() {
  Config config;
  config.ports = {{.name = "lan", .interface = "eth0"}};
  config.binds = {{.name = "dns", .listen_address = parse_endpoint("198.18.0.53").value()}};
  config.backends = {{.name = "resolver", .address = parse_endpoint("198.18.1.1").value()}};
  config.pools = {{.name = "default"}};
  config.packet_caches = {{.name = "default"}};
  config.access = {{.name = "guests",
                    .sources = {parse_prefix("198.18.64.0/18").value()},
                    .action = abi::RuleAction::refuse}};
  config.forward = {{.name = "corp", .suffixes = {"corp.example"}, .pool = "default"}};
  return config;
}

const char* remark(const FieldText& field, const std::string& fallback) {
  if (field.info.presence == Presence::required) return "  # an example: required";
  return field.text == fallback ? "" : "  # an example: not given by default";
}

template <class Object>
void dump_fields(const Object& object, const std::string& first, const std::string& rest,
                 std::string& out) {
  const std::vector<FieldText> defaults = texts_of(Object{});
  std::size_t idx = 0;
  for (const FieldText& field : texts_of(object)) {
    const std::string& indent = idx == 0 ? first : rest;
    const std::string key(field.info.key);
    if (field.is_absent()) {
      out += rest + "# " + key + ": not given by default\n";
    } else {
      out += indent + key + ": " + field.text + remark(field, defaults[idx].text) + "\n";
    }
    ++idx;
  }
}

template <class Object>
void dump_section(const SectionInfo& info, const std::vector<Object>& list, std::string& out) {
  const std::string heading(info.key);
  if (info.presence == Presence::optional) {
    out += heading + ": []\n  # An entry would be:\n";
    dump_fields(list.front(), "  # - ", "  #   ", out);
  } else {
    out += heading + ":" +
           (info.presence == Presence::derived ? "  # this one, where none is given" : "") + "\n";
    dump_fields(list.front(), "  - ", "    ", out);
  }
}

template <class Object>
void dump_section(const SectionInfo& info, const Object& group, std::string& out) {
  out += std::string(info.key) + ":\n";
  dump_fields(group, "  ", "  ", out);
}

}  // namespace

std::string dump_defaults() {
  std::string out;
  const Config shown = examples();
  for_each_section(shown, [&](const SectionInfo& info, const auto& section) {
    dump_section(info, section, out);
  });
  return out;
}

}  // namespace millrace::ctl
