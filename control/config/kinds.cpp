// SPDX-License-Identifier: Apache-2.0
#include "control/config/kinds.hpp"

#include "control/config/kinds_text.hpp"
#include "control/config/nearest.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace millrace::ctl {
namespace {

constexpr std::size_t kShownMax = 40;
bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_name_byte(char c) {
  return is_alnum(c) || c == '.' || c == '_' || c == '-';
}

std::string read_text(const yaml::Node& node, std::string_view what, std::string_view allowed,
                      std::string& value) {
  if (node.kind != yaml::Node::Kind::scalar) return expected(what, allowed, node);
  value = node.text;
  return "";
}

// In lower case and without the closing dot.
std::string canonical_suffix(std::string text) {
  if (text.size() > 1 && text.back() == '.') text.pop_back();
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return text;
}

std::string suffix_problem(const std::string& suffix) {
  if (suffix == ".") return "";
  std::size_t label = 0;  // bytes of the one that we are in
  bool good = !suffix.empty() && suffix.back() != '.' && suffix.size() <= 253;
  for (const char c : suffix) {
    good = good && (c == '.' ? label != 0 : is_alnum(c) || c == '-' || c == '_');
    label = c == '.' ? 0 : label + 1;
    good = good && label <= 63;
  }
  if (good) return "";
  return shown(suffix) +
         " is not a DNS name: allowed are letters, digits, '-' and '_', at most 63 between two "
         "dots and 253 in all";
}

std::string read_prefix(const yaml::Node& item, Prefix& value) {
  static constexpr std::string_view kExample = "a prefix such as 198.18.0.0/16 or \"fd00:18::/32\"";
  if (item.kind != yaml::Node::Kind::scalar) return expected(kExample, "", item);
  const Result<Prefix> prefix = parse_prefix(item.text);
  if (!prefix.ok()) return expected(kExample, "", item) + ": " + prefix.status().message();
  value = prefix.value();
  return "";
}

bool is_secret(std::string_view text) {
  return text.size() == 32 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isxdigit(c) != 0;
         });
}

}  // namespace

std::string clip(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < std::min(text.size(), kShownMax);) {
    const std::size_t bytes = yaml::control_bytes(text, i);
    out += bytes != 0 ? '?' : text[i];
    i += std::max<std::size_t>(bytes, 1);
  }
  return text.size() > kShownMax ? out + "..." : out;
}

std::string describe(const yaml::Node& node) {
  switch (node.kind) {
    case yaml::Node::Kind::null:
      return "nothing";
    case yaml::Node::Kind::list:
      return "a list";
    case yaml::Node::Kind::map:
      return "a map";
    case yaml::Node::Kind::scalar:
      break;
  }
  return (node.quoted ? "the quoted text " : "") + shown(node.text);
}

std::string quote(std::string_view text) {
  static constexpr std::array<std::string_view, 8> kWords{"null", "true", "false", "yes",
                                                          "no",   "on",   "off",   "auto"};
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const bool is_word = !text.empty() && std::isalpha(static_cast<unsigned char>(text.front())) &&
                       std::all_of(text.begin(), text.end(), is_name_byte) &&
                       std::find(kWords.begin(), kWords.end(), lower) == kWords.end() &&
                       text.size() > 1;  // y and n are truth values to some
  if (is_word) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

namespace kinds {

// --- names and other text

std::string Name::allowed(const FieldInfo& info) {
  return range_text(std::to_string(info.lo), std::to_string(info.hi)) +
         " letters, digits, '.', '_', '-', the first a letter or digit";
}

std::string Name::read(const yaml::Node& node, const FieldInfo& info, std::string& value) {
  return read_text(node, "a name", allowed(info), value);
}

std::string Name::check(const std::string& value, const FieldInfo& info) {
  if (value.empty() && info.lo == 0) return "";
  const bool fits = value.size() >= info.lo && value.size() <= info.hi;
  if (fits && is_alnum(value.front()) && std::all_of(value.begin(), value.end(), is_name_byte)) {
    return "";
  }
  return shown(value) + " is not a name: allowed are " + allowed(info);
}

std::string Names::allowed(const FieldInfo& info) {
  return range_text(std::to_string(info.lo), std::to_string(info.hi)) + " names";
}

std::string Names::read(const yaml::Node& node, const FieldInfo& info,
                        std::vector<std::string>& value) {
  if (node.kind != yaml::Node::Kind::list) {
    return expected("a list of names such as [default]", allowed(info), node);
  }
  std::vector<std::string> names;
  for (const yaml::Node& item : node.items) {
    if (std::string problem = item_problem(item, info); !problem.empty()) return problem;
    names.push_back(item.text);
  }
  value = std::move(names);
  return "";
}

std::string Names::item_problem(const yaml::Node& item, const FieldInfo&) {
  return item.kind == yaml::Node::Kind::scalar ? "" : expected("names in the list", "", item);
}

std::string Names::check(const std::vector<std::string>& value, const FieldInfo& info) {
  if (value.size() >= info.lo && value.size() <= info.hi) return "";
  if (value.empty()) return "the list is empty: allowed " + allowed(info);
  return out_of_range(std::to_string(value.size()) + " names", allowed(info));
}

std::string Names::format(const std::vector<std::string>& value) {
  std::string text = "[";
  for (const std::string& name : value)
    text += (text.size() > 1 ? ", " : "") + quote(name);
  return text + "]";
}

std::string Suffixes::allowed(const FieldInfo& info) {
  return range_text(std::to_string(info.lo), std::to_string(info.hi)) +
         " names of letters, digits, '-' and '_' between dots";
}

std::string Suffixes::read(const yaml::Node& node, const FieldInfo& info,
                           std::vector<std::string>& value) {
  if (node.kind != yaml::Node::Kind::list) {
    return expected("a list of DNS names such as [corp.example]", allowed(info), node);
  }
  std::vector<std::string> suffixes;
  for (const yaml::Node& item : node.items) {
    if (item.kind != yaml::Node::Kind::scalar) return expected("DNS names in the list", "", item);
    suffixes.push_back(canonical_suffix(item.text));
  }
  value = std::move(suffixes);
  return "";
}

std::string Suffixes::item_problem(const yaml::Node& item, const FieldInfo&) {
  if (item.kind != yaml::Node::Kind::scalar) return expected("DNS names in the list", "", item);
  return suffix_problem(canonical_suffix(item.text));
}

std::string Suffixes::check(const std::vector<std::string>& value, const FieldInfo& info) {
  for (const std::string& suffix : value) {
    if (std::string problem = suffix_problem(suffix); !problem.empty()) return problem;
  }
  if (value.size() >= info.lo && value.size() <= info.hi) return "";
  if (value.empty()) return "the list is empty: allowed " + allowed(info);
  return out_of_range(std::to_string(value.size()) + " names", allowed(info));
}

std::string Suffixes::format(const std::vector<std::string>& value) {
  return Names::format(value);
}

std::string Secrets::allowed(const FieldInfo& info) {
  return range_text(std::to_string(info.lo), std::to_string(info.hi)) +
         " secrets of 32 hexadecimal digits";
}

std::string Secrets::read(const yaml::Node& node, const FieldInfo& info,
                          std::vector<std::string>& value) {
  const bool is_list = node.kind == yaml::Node::Kind::list;
  const auto is_text = [](const yaml::Node& item) { return item.kind == yaml::Node::Kind::scalar; };
  if (!is_list || !std::all_of(node.items.begin(), node.items.end(), is_text)) {
    return "expects a list of secrets (" + allowed(info) + ")";
  }
  value.clear();
  for (const yaml::Node& item : node.items)
    value.push_back(item.text);
  return "";
}

std::string Secrets::item_problem(const yaml::Node& item, const FieldInfo&) {
  const bool good = item.kind == yaml::Node::Kind::scalar && is_secret(item.text);
  return good ? "" : "is not a secret: a secret has 32 hexadecimal digits";
}

std::string Secrets::check(const std::vector<std::string>& value, const FieldInfo& info) {
  if (value.size() > info.hi) {
    return out_of_range(std::to_string(value.size()) + " secrets", allowed(info));
  }
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (is_secret(value[i])) continue;
    return "the " + std::string(i == 0 ? "first" : "second") + " is not a secret: allowed are " +
           allowed(info);
  }
  return "";
}

std::string Prefixes::allowed(const FieldInfo& info) {
  return range_text(std::to_string(info.lo), std::to_string(info.hi)) + " IPv4 or IPv6 prefixes";
}

std::string Prefixes::read(const yaml::Node& node, const FieldInfo& info,
                           std::vector<Prefix>& value) {
  if (node.kind != yaml::Node::Kind::list) {
    return expected("a list of prefixes such as [198.18.0.0/16]", allowed(info), node);
  }
  std::vector<Prefix> prefixes;
  for (const yaml::Node& item : node.items) {
    if (std::string problem = read_prefix(item, prefixes.emplace_back()); !problem.empty()) {
      return problem;
    }
  }
  value = std::move(prefixes);
  return "";
}

std::string Prefixes::item_problem(const yaml::Node& item, const FieldInfo&) {
  Prefix prefix;
  return read_prefix(item, prefix);
}

std::string Prefixes::check(const std::vector<Prefix>& value, const FieldInfo& info) {
  if (value.size() >= info.lo && value.size() <= info.hi) return "";
  if (value.empty()) return "the list is empty: allowed " + allowed(info);
  return out_of_range(std::to_string(value.size()) + " prefixes", allowed(info));
}

std::string Prefixes::format(const std::vector<Prefix>& value) {
  std::string text = "[";
  for (const Prefix& prefix : value)
    text += (text.size() > 1 ? ", " : "") + quote(prefix.text());
  return text + "]";
}

std::string Interface::allowed(const FieldInfo& info) {
  return "at most " + std::to_string(info.hi) + " bytes, as `ip link` shows it";
}

std::string Interface::read(const yaml::Node& node, const FieldInfo& info, std::string& value) {
  return read_text(node, "the name of an interface", allowed(info), value);
}

// What the kernel's dev_valid_name() refuses, and what YAML or a shell would trip over.
std::string Interface::check(const std::string& value, const FieldInfo& info) {
  const bool is_dots = value == "." || value == "..";
  const bool is_clean = std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '/' && c != ':';
  });
  if (value.size() <= info.hi && is_clean && !is_dots) return "";
  return shown(value) + " is not the name of an interface: allowed " + allowed(info);
}

std::string Device::allowed(const FieldInfo& info) {
  return "at most " + std::to_string(info.hi) + " bytes without spaces";
}

std::string Device::read(const yaml::Node& node, const FieldInfo& info, std::string& value) {
  return read_text(node, "a DPDK device", allowed(info), value);
}

std::string Device::check(const std::string& value, const FieldInfo& info) {
  const bool is_clean =
      std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (value.size() <= info.hi && is_clean) return "";
  return shown(value) + " is not a DPDK device: allowed " + allowed(info);
}

std::string Path::allowed(const FieldInfo& info) {
  return "at most " + std::to_string(info.hi) + " ASCII characters, begins with /";
}

std::string Path::read(const yaml::Node& node, const FieldInfo& info, std::string& value) {
  return read_text(node, "a path", allowed(info), value);
}

std::string Path::check(const std::string& value, const FieldInfo& info) {
  const bool is_clean =
      std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c < 0x7f; });
  if (!value.empty() && value.front() == '/' && value.size() <= info.hi && is_clean) return "";
  return shown(value) + " is not an absolute path: allowed " + allowed(info);
}

std::string Address::read(const yaml::Node& node, const FieldInfo& info, Endpoint& value) {
  static constexpr std::string_view kExample =
      "an address such as 198.18.0.53:53 or \"[fd00:18::53]:53\"";
  if (node.kind != yaml::Node::Kind::scalar) return expected(kExample, allowed(info), node);
  Result<Endpoint> endpoint = parse_endpoint(node.text);
  if (!endpoint.ok()) {
    return expected(kExample, "", node) + ": " + endpoint.status().message();
  }
  value = std::move(endpoint).value();
  return "";
}

std::string Address::check(const Endpoint& value, const FieldInfo&) {
  const bool is_given = (value.family == 4 || value.family == 6) && value.port != 0;
  const std::string text = is_given ? value.text() : "";
  if (!is_given) return "an address is missing";
  if (value.is_unspecified()) {
    return text + " stands for any address: list each address by itself";
  }
  if (value.is_multicast()) return text + " is a multicast or broadcast address";
  if (value.is_loopback()) return text + " is a loopback address: no port leads there";
  if (value.is_link_local()) {
    return text + " is link-local, it means another machine on each link: give a routed address";
  }
  if (value.is_v4_mapped()) return text + " is IPv4 written as IPv6: write the IPv4 address";
  return "";
}

// --- words

std::string Flag::read(const yaml::Node& node, const FieldInfo&, bool& value) {
  if (!node.is_plain() || (node.text != "true" && node.text != "false")) {
    return expected("true or false", "", node);
  }
  value = node.text == "true";
  return "";
}

template <class Enum>
std::string Choice<Enum>::allowed(const FieldInfo&) {
  std::string text;
  for (const std::string_view word : words()) {
    text += (text.empty() ? "" : ", ") + std::string(word);
  }
  return text;
}

template <class Enum>
std::string Choice<Enum>::read(const yaml::Node& node, const FieldInfo& info, Enum& value) {
  if (node.kind != yaml::Node::Kind::scalar) return expected("a word", allowed(info), node);
  const auto found = std::find(words().begin(), words().end(), node.text);
  if (found == words().end()) {
    const std::string_view near = nearest(node.text, words());
    return expected("one of " + allowed(info), "", node) +
           (near.empty() ? "" : "; did you mean \"" + std::string(near) + "\"?");
  }
  value = static_cast<Enum>(found - words().begin());
  return "";
}

template <class Enum>
std::string Choice<Enum>::check(Enum value, const FieldInfo& info) {
  const std::size_t idx = static_cast<std::size_t>(value);
  return idx < words().size() ? "" : out_of_range(std::to_string(idx), allowed(info));
}

template <>
const std::vector<std::string_view>& Choice<abi::IdleMode>::words() {
  static const std::vector<std::string_view> kWords{"adaptive", "poll"};
  return kWords;
}

template <>
const std::vector<std::string_view>& Choice<abi::PoolPolicy>::words() {
  static const std::vector<std::string_view> kWords{
      "least_outstanding", "round_robin", "weighted", "first_available", "consistent_hash"};
  return kWords;
}

template <>
const std::vector<std::string_view>& Choice<abi::ClockMode>::words() {
  static const std::vector<std::string_view> kWords{"real", "manual"};
  return kWords;
}

template <>
const std::vector<std::string_view>& Choice<abi::RuleAction>::words() {
  static const std::vector<std::string_view> kWords{"allow", "refuse", "drop"};
  return kWords;
}

template <>
const std::vector<std::string_view>& Choice<abi::UnrelatedRecords>::words() {
  static const std::vector<std::string_view> kWords{"relay", "strip", "refuse"};
  return kWords;
}

template <>
const std::vector<std::string_view>& Choice<RecursionNotDesired>::words() {
  static const std::vector<std::string_view> kWords{"refuse", "cache_only"};
  return kWords;
}

template <>
const std::vector<std::string_view>& Choice<AnyOverUdp>::words() {
  static const std::vector<std::string_view> kWords{"minimal", "forward"};
  return kWords;
}

template <>
const std::vector<std::string_view>& Choice<LogLevel>::words() {
  static const std::vector<std::string_view> kWords{"trace", "debug", "info", "warning", "error"};
  return kWords;
}

template struct Choice<abi::IdleMode>;
template struct Choice<abi::PoolPolicy>;
template struct Choice<abi::UnrelatedRecords>;
template struct Choice<abi::ClockMode>;
template struct Choice<abi::RuleAction>;
template struct Choice<RecursionNotDesired>;
template struct Choice<AnyOverUdp>;
template struct Choice<LogLevel>;

}  // namespace kinds
}  // namespace millrace::ctl
