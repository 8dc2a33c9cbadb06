// SPDX-License-Identifier: Apache-2.0
#include "control/config/read.hpp"

#include "control/config/fields.hpp"
#include "control/config/nearest.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace millrace::ctl {
namespace {

using Keys = std::vector<std::string_view>;

std::string inner(const std::string& path, std::string_view key) {
  return (path.empty() ? "" : path + ".") + std::string(key);
}

std::string element(const std::string& path, std::size_t idx) {
  return path + "[" + std::to_string(idx) + "]";
}

template <class Object>
const Keys& keys_of() {
  static const Keys kKeys = [] {
    Keys keys;
    Object object;
    for_each_field(object, [&](auto, const FieldInfo& info, auto&) { keys.push_back(info.key); });
    return keys;
  }();
  return kKeys;
}

const Keys& section_keys() {
  static const Keys kKeys = [] {
    Keys keys;
    Config config;
    for_each_section(config, [&](const SectionInfo& info, auto&) { keys.push_back(info.key); });
    return keys;
  }();
  return kKeys;
}

template <class Section>
struct ObjectOf {
  using Type = Section;
};
template <class Object>
struct ObjectOf<std::vector<Object>> {
  using Type = Object;
};

// The section that has this key, for one that was put in the wrong place.
std::string_view home_of(std::string_view key) {
  std::string_view home;
  Config config;
  for_each_section(config, [&](const SectionInfo& info, auto& section) {
    using Object = typename ObjectOf<std::remove_reference_t<decltype(section)>>::Type;
    const Keys& keys = keys_of<Object>();
    const bool has_key = std::find(keys.begin(), keys.end(), key) != keys.end();
    if (home.empty() && has_key) home = info.key;
  });
  return home;
}

void report_unknown(const yaml::Member& member, const Keys& known, const std::string& path,
                    Report& report) {
  std::string message = "unknown key";
  const std::string_view near = nearest(member.key, known);
  const std::string_view home = home_of(member.key);
  if (!near.empty()) {
    message += "; did you mean \"" + std::string(near) + "\"?";
    report.mark_broken(inner(path, near));
  } else if (!home.empty()) {
    message += "; \"" + member.key + "\" belongs to `" + std::string(home) + "`";
  } else {
    message += "; known here:";
    for (const std::string_view key : known) {
      message += (key == known.front() ? " " : ", ") + std::string(key);
    }
  }
  report.error(member.key_at, inner(path, clip(member.key)), message);
}

// `{tries 2}` is a key without a value to YAML. False: this is something else.
bool report_lost_colon(const yaml::Member& member, const Keys& known, const std::string& path,
                       Report& report) {
  const std::string word = member.key.substr(0, member.key.find(' '));
  const bool is_one = member.value.kind == yaml::Node::Kind::null && word != member.key &&
                      std::find(known.begin(), known.end(), word) != known.end();
  if (!is_one) return false;
  report.error(member.key_at, inner(path, word),
               "a colon is missing behind \"" + word + "\": a key is written `key: value`");
  report.mark_broken(inner(path, word));
  return true;
}

void check_keys(const yaml::Node& map, const Keys& known, const std::string& path, Report& report) {
  std::unordered_map<std::string_view, yaml::Mark> seen;
  for (const yaml::Member& member : map.members) {
    if (report.full()) return;
    const auto [first, is_new] = seen.try_emplace(member.key, member.key_at);
    if (!is_new) {
      report.error(member.key_at, inner(path, clip(member.key)),
                   "given twice; first in line " + std::to_string(first->second.line));
    } else if (std::find(known.begin(), known.end(), member.key) == known.end()) {
      if (!report_lost_colon(member, known, path, report)) {
        report_unknown(member, known, path, report);
      }
    }
  }
}

void report_missing(yaml::Mark at, const std::string& path, std::string_view help, Report& report) {
  if (report.is_broken(path)) return;
  report.error(at, path, "is missing and has no default: " + std::string(help));
  report.mark_broken(path);
}

// Of a list each item that is wrong is reported, at its place. False: none is.
template <class Kind>
bool report_items(const yaml::Node& list, const FieldInfo& info, const std::string& path,
                  Report& report) {
  bool any = false;
  if constexpr (requires { Kind::item_problem(list, info); }) {
    for (std::size_t i = 0; i < list.items.size() && !report.full(); ++i) {
      const std::string problem = Kind::item_problem(list.items[i], info);
      if (problem.empty()) continue;
      report.error(list.items[i].at, element(path, i), problem);
      any = true;
    }
  }
  return any;
}

template <class Object>
void read_object(const yaml::Node& node, const std::string& path, Object& object, Report& report) {
  report.place(path, node.at);
  if (node.kind != yaml::Node::Kind::map) {
    const bool is_nothing = node.kind == yaml::Node::Kind::null;
    report.error(node.at, path,
                 "expects a map of keys and values, found " + describe(node) +
                     (is_nothing ? ": write it behind its `-`, or remove the `-`" : ""));
    report.mark_broken(path);
    return;
  }
  check_keys(node, keys_of<Object>(), path, report);
  for_each_field(object, [&](auto kind, const FieldInfo& info, auto& member) {
    const std::string key = inner(path, info.key);
    const yaml::Node* value = node.find(info.key);
    if (value == nullptr) {
      if (info.presence == Presence::required) report_missing(node.at, key, info.help, report);
      return;
    }
    report.place(key, value->at);
    for (std::size_t i = 0; i < value->items.size() && i <= info.hi; ++i) {
      report.place(element(key, i), value->items[i].at);
    }
    using Kind = decltype(kind);
    if (!report_items<Kind>(*value, info, key, report)) {
      const std::string problem = Kind::read(*value, info, member);
      if (problem.empty()) return;
      report.error(value->at, key, problem);
    }
    report.mark_broken(key);
  });
}

template <class Object>
void read_section(const yaml::Node& node, const SectionInfo& info, std::vector<Object>& list,
                  Report& report) {
  const std::string path(info.key);
  report.place(path, node.at);
  if (node.kind != yaml::Node::Kind::list) {
    report.error(node.at, path, "expects a list of named objects, found " + describe(node));
    report.mark_broken(path);
    return;
  }
  for (std::size_t i = 0; i < node.items.size() && !report.full(); ++i) {
    if (i == info.count_max) {
      report.error(node.items[i].at, path,
                   "has " + std::to_string(node.items.size()) + " objects: allowed are at most " +
                       std::to_string(info.count_max));
      report.mark_broken(path);
      return;
    }
    read_object(node.items[i], element(path, i), list.emplace_back(), report);
  }
}

template <class Object>
void read_section(const yaml::Node& node, const SectionInfo& info, Object& group, Report& report) {
  read_object(node, std::string(info.key), group, report);
}

}  // namespace

void Report::error(yaml::Mark at, const std::string& key, const std::string& message) {
  if (full()) return;
  errors_.push_back(
      {.file = file_, .line = at.line, .column = at.column, .key = key, .message = message});
}

yaml::Mark Report::place_of(std::string key) const {
  for (; !key.empty(); key = outer_key(key)) {
    if (const auto found = places_.find(key); found != places_.end()) return found->second;
  }
  return {};
}

std::vector<Diagnostic> Report::take_sorted() && {
  std::stable_sort(errors_.begin(), errors_.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  return std::move(errors_);
}

void read_config(const yaml::Node& root, Config& config, Report& report) {
  if (root.kind != yaml::Node::Kind::map && root.kind != yaml::Node::Kind::null) {
    const bool is_list = root.kind == yaml::Node::Kind::list;
    report.error(root.at, "",
                 "expects a map of sections such as `ports:`, found " + describe(root) +
                     (is_list ? ": a `-` begins an entry of a list" : ""));
    for (const std::string_view key : section_keys())
      report.mark_broken(std::string(key));
    return;
  }
  check_keys(root, section_keys(), "", report);
  for_each_section(config, [&](const SectionInfo& info, auto& section) {
    const yaml::Node* node = root.find(info.key);
    const bool is_given = node != nullptr && node->kind != yaml::Node::Kind::null;
    if (is_given) {
      read_section(*node, info, section, report);
    } else if (node != nullptr) {
      report.place(std::string(info.key), node->at);
    } else if (info.presence == Presence::required) {
      report_missing(root.at, std::string(info.key), info.help, report);
    }
  });
}

}  // namespace millrace::ctl
