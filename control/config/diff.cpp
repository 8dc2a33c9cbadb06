// SPDX-License-Identifier: Apache-2.0
#include "control/config/diff.hpp"

#include "control/config/format.hpp"

#include <algorithm>

namespace millrace::ctl {
namespace {

using Changes = std::vector<Change>;

template <class Object>
void diff_fields(const std::string& path, const Object& running, const Object& wanted,
                 Changes& changes) {
  const std::vector<FieldText> before = texts_of(running);
  const std::vector<FieldText> after = texts_of(wanted);
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i].text == after[i].text) continue;
    changes.push_back({.key = path + "." + std::string(before[i].info.key),
                       .before = before[i].is_absent() ? "" : before[i].text,
                       .after = after[i].is_absent() ? "" : after[i].text,
                       .reload = before[i].info.reload});
  }
}

template <class Object>
const Object* find(const std::vector<Object>& list, const std::string& name) {
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const Object& object) { return object.name == name; });
  return found == list.end() ? nullptr : &*found;
}

// The names of `list` that `other` has too, in the order of `list`.
template <class Object>
std::vector<std::string> shared_names(const std::vector<Object>& list,
                                      const std::vector<Object>& other) {
  std::vector<std::string> names;
  for (const Object& object : list) {
    if (find(other, object.name) != nullptr) names.push_back(object.name);
  }
  return names;
}

template <class Object>
void diff_section(const SectionInfo& info, const std::vector<Object>& running,
                  const std::vector<Object>& wanted, Changes& changes) {
  const std::string path(info.key);
  for (const Object& object : running) {
    const std::string key = path + "[" + object.name + "]";
    if (const Object* other = find(wanted, object.name)) {
      diff_fields(key, object, *other, changes);
    } else {
      changes.push_back({key, flow_text(object), "", info.reload});
    }
  }
  for (const Object& object : wanted) {
    if (find(running, object.name) != nullptr) continue;
    changes.push_back({path + "[" + object.name + "]", "", flow_text(object), info.reload});
  }
  const std::vector<std::string> before = shared_names(running, wanted);
  const std::vector<std::string> after = shared_names(wanted, running);
  if (before != after) {
    changes.push_back(
        {path, kinds::Names::format(before), kinds::Names::format(after), info.reload});
  }
}

template <class Object>
void diff_section(const SectionInfo& info, const Object& running, const Object& wanted,
                  Changes& changes) {
  diff_fields(std::string(info.key), running, wanted, changes);
}

}  // namespace

std::string_view reload_class_name(ReloadClass reload) {
  switch (reload) {
    case ReloadClass::live:
      return "live";
    case ReloadClass::port:
      return "port";
    case ReloadClass::restart:
      return "restart";
  }
  return "";
}

std::vector<Change> diff(const Config& running, const Config& wanted) {
  Changes changes;
#define MR_LIST(member, Type, presence, count_max, reload, help)                               \
  diff_section(SectionInfo{#member, Presence::presence, count_max, ReloadClass::reload, help}, \
               running.member, wanted.member, changes);
#define MR_GROUP(member, Type, help)                                                 \
  diff_section(SectionInfo{#member, Presence::optional, 0, ReloadClass::live, help}, \
               running.member, wanted.member, changes);
#include "control/config/fields.def"
  return changes;
}

ReloadClass reload_class(const std::vector<Change>& changes) {
  ReloadClass dearest = ReloadClass::live;
  for (const Change& change : changes)
    dearest = std::max(dearest, change.reload);
  return dearest;
}

}  // namespace millrace::ctl
