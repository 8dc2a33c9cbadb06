// SPDX-License-Identifier: Apache-2.0
// The kinds that are made of numbers.
#include "control/config/kinds.hpp"
#include "control/config/kinds_text.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <limits>
#include <span>

namespace millrace::ctl {
namespace {

constexpr std::string_view kAuto = "auto";

struct Unit {
  std::string_view suffix;
  uint64_t factor;
};

constexpr std::array<Unit, 5> kTimeUnits{
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
constexpr std::array<Unit, 5> kSizeUnits{
    {{"B", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40}}};

std::string join(std::span<const Unit> units) {
  std::string text;
  for (const Unit& unit : units)
    text += (text.empty() ? "" : ", ") + std::string(unit.suffix);
  return text;
}

// The value in the largest unit that divides it.
std::string format_quantity(uint64_t value, std::span<const Unit> units) {
  const Unit* best = &units.front();
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) best = &unit;
  }
  return std::to_string(value / best->factor) + std::string(best->suffix);
}

// Digits without sign, leading zero or anything after. Too many of them read as the largest number.
bool parse_digits(std::string_view text, uint64_t& value) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return false;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return false;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) value = std::numeric_limits<uint64_t>::max();
  return true;
}

// What a quantity is called, an example of one, the unit to propose for a bare number.
struct Measure {
  std::string_view what, example, proposed;
  std::span<const Unit> units;
};
constexpr Measure kSize{"a size", "64MiB", "B", kSizeUnits};
constexpr Measure kDurationMs{"a duration", "400ms", "ms", kTimeUnits};
constexpr Measure kDurationS{"a duration", "30s", "s", kTimeUnits};

// `value` in the smallest unit; a product beyond 64 bits reads as the largest number.
std::string parse_quantity(const yaml::Node& node, const Measure& measure, uint64_t& value) {
  const std::string what = std::string(measure.what) + " such as " + std::string(measure.example);
  if (node.kind != yaml::Node::Kind::scalar) return expected(what, "", node);
  const std::string_view text = node.text;
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view suffix = text.substr(digits);
  uint64_t count = 0;
  if (!parse_digits(text.substr(0, digits), count)) return expected(what, "", node);
  if (suffix.empty()) {
    return "needs a unit: write \"" + clip(text) + std::string(measure.proposed) +
           "\" (units: " + join(measure.units) + ")";
  }
  for (const Unit& unit : measure.units) {
    if (unit.suffix != suffix) continue;
    if (__builtin_mul_overflow(count, unit.factor, &value)) {
      value = std::numeric_limits<uint64_t>::max();
    }
    return "";
  }
  return "unknown unit " + shown(suffix) + " (units: " + join(measure.units) +
         "; a whole number, then the unit, without a space)";
}

// The range is looked at here, too, and not in check() alone: here the value is as it was written.
template <class Narrow>
std::string narrow(uint64_t wide, const std::string& text, const FieldInfo& info,
                   const std::string& allowed, Narrow& value) {
  const bool fits = wide <= std::numeric_limits<Narrow>::max();
  if (!fits || wide < info.lo || wide > info.hi) return out_of_range(shown(text), allowed);
  value = static_cast<Narrow>(wide);
  return "";
}

template <class Narrow>
std::string read_count(const yaml::Node& node, const FieldInfo& info, const std::string& allowed,
                       Narrow& value) {
  uint64_t wide = 0;
  if (!node.is_plain() || !parse_digits(node.text, wide)) {
    return expected("a whole number", allowed, node);
  }
  return narrow(wide, node.text, info, allowed, value);
}

std::string in_range(uint64_t value, const FieldInfo& info, const std::string& text,
                     const std::string& allowed) {
  return value >= info.lo && value <= info.hi ? "" : out_of_range(text, allowed);
}

bool is_auto(const yaml::Node& node) {
  return node.is_plain() && node.text == kAuto;
}

}  // namespace

namespace kinds {

// --- numbers and quantities

std::string Count::allowed(const FieldInfo& info) {
  return range_text(format(info.lo), format(info.hi));
}

std::string Count::read(const yaml::Node& node, const FieldInfo& info, uint32_t& value) {
  return read_count(node, info, allowed(info), value);
}

std::string Count::read(const yaml::Node& node, const FieldInfo& info, uint16_t& value) {
  return read_count(node, info, allowed(info), value);
}

std::string Count::check(uint64_t value, const FieldInfo& info) {
  return in_range(value, info, format(value), allowed(info));
}

std::string Bytes::allowed(const FieldInfo& info) {
  return range_text(format(info.lo), format(info.hi));
}

std::string Bytes::read(const yaml::Node& node, const FieldInfo& info, uint64_t& value) {
  uint64_t wide = 0;
  std::string problem = parse_quantity(node, kSize, wide);
  return problem.empty() ? narrow(wide, node.text, info, allowed(info), value) : problem;
}

std::string Bytes::read(const yaml::Node& node, const FieldInfo& info, uint32_t& value) {
  uint64_t wide = 0;
  std::string problem = parse_quantity(node, kSize, wide);
  return problem.empty() ? narrow(wide, node.text, info, allowed(info), value) : problem;
}

std::string Bytes::check(uint64_t value, const FieldInfo& info) {
  return in_range(value, info, format(value), allowed(info));
}

std::string Bytes::format(uint64_t value) {
  return format_quantity(value, kSizeUnits);
}

std::string Milliseconds::allowed(const FieldInfo& info) {
  return range_text(format(info.lo), format(info.hi));
}

std::string Milliseconds::read(const yaml::Node& node, const FieldInfo& info, uint32_t& value) {
  uint64_t wide = 0;
  std::string problem = parse_quantity(node, kDurationMs, wide);
  return problem.empty() ? narrow(wide, node.text, info, allowed(info), value) : problem;
}

std::string Milliseconds::check(uint64_t value, const FieldInfo& info) {
  return in_range(value, info, format(value), allowed(info));
}

std::string Milliseconds::format(uint64_t value) {
  return format_quantity(value, kTimeUnits);
}

std::string Seconds::allowed(const FieldInfo& info) {
  return range_text(format(info.lo), format(info.hi));
}

std::string Seconds::read(const yaml::Node& node, const FieldInfo& info, uint32_t& value) {
  uint64_t wide = 0;
  std::string problem = parse_quantity(node, kDurationS, wide);
  if (!problem.empty()) return problem;
  if (wide == std::numeric_limits<uint64_t>::max()) {
    return out_of_range(shown(node.text), allowed(info));
  }
  if (wide % 1000 != 0) return "must be whole seconds: allowed " + allowed(info);
  return narrow(wide / 1000, node.text, info, allowed(info), value);
}

std::string Seconds::check(uint64_t value, const FieldInfo& info) {
  return in_range(value, info, format(value), allowed(info));
}

std::string Seconds::format(uint64_t value) {
  return value == 0 ? "0s" : format_quantity(value * 1000, kTimeUnits);
}

// --- port range

std::string Ports::allowed(const FieldInfo& info) {
  return range_text(std::to_string(info.lo), std::to_string(info.hi)) + ", at least " +
         std::to_string(kWidthMin) + " ports";
}

std::string Ports::read(const yaml::Node& node, const FieldInfo& info, PortRange& value) {
  std::array<std::string_view, 2> texts;  // empty: no range
  if (node.kind == yaml::Node::Kind::list && node.items.size() == 2) {
    for (std::size_t i = 0; i < 2; ++i) {
      if (node.items[i].is_plain()) texts[i] = node.items[i].text;
    }
  } else if (node.kind == yaml::Node::Kind::scalar) {
    const std::string_view text = node.text;
    const std::size_t dash = text.find('-');
    if (dash != text.npos) texts = {text.substr(0, dash), text.substr(dash + 1)};
  }
  std::array<uint64_t, 2> ends{};
  if (!parse_digits(texts[0], ends[0]) || !parse_digits(texts[1], ends[1])) {
    return expected("[10000, 32000] or 10000-32000, say", allowed(info), node);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    if (ends[i] < info.lo || ends[i] > info.hi) return out_of_range(shown(texts[i]), allowed(info));
  }
  if (ends[1] < ends[0]) return "the last port is below the first: allowed " + allowed(info);
  const PortRange range{static_cast<uint16_t>(ends[0]), static_cast<uint16_t>(ends[1] + 1)};
  if (!check(range, info).empty()) {
    const bool is_text = node.kind == yaml::Node::Kind::scalar;
    return out_of_range(is_text ? shown(node.text) : format(range), allowed(info));
  }
  value = range;
  return "";
}

std::string Ports::check(const PortRange& value, const FieldInfo& info) {
  const bool is_inside = value.first >= info.lo && value.end >= 1 && value.end - 1u <= info.hi;
  if (is_inside && value.end > value.first && value.end - value.first >= int{kWidthMin}) return "";
  return out_of_range(format(value), allowed(info));
}

std::string Ports::format(const PortRange& value) {
  return "[" + std::to_string(value.first) + ", " + std::to_string(value.end - 1) + "]";
}

// --- what can be left to the machine

std::string Vlans::allowed(const FieldInfo& info) {
  return range_text(std::to_string(info.lo), std::to_string(info.hi)) + " each";
}

std::string Vlans::read(const yaml::Node& node, const FieldInfo& info,
                        std::vector<uint16_t>& value) {
  if (node.kind != yaml::Node::Kind::list) {
    return expected("a list of VLANs such as [10, 20]", allowed(info), node);
  }
  std::vector<uint16_t> vlans(node.items.size());
  for (std::size_t i = 0; i < vlans.size(); ++i) {
    std::string problem = read_count(node.items[i], info, allowed(info), vlans[i]);
    if (!problem.empty()) return problem;
  }
  value = std::move(vlans);
  return "";
}

std::string Vlans::item_problem(const yaml::Node& item, const FieldInfo& info) {
  uint16_t vlan = 0;
  return read_count(item, info, allowed(info), vlan);
}

std::string Vlans::check(const std::vector<uint16_t>& value, const FieldInfo& info) {
  for (const uint16_t vlan : value) {
    std::string problem = in_range(vlan, info, std::to_string(vlan), allowed(info));
    if (!problem.empty()) return problem;
  }
  return "";
}

std::string Vlans::format(const std::vector<uint16_t>& value) {
  std::string text = "[";
  for (const uint16_t vlan : value)
    text += (text.size() > 1 ? ", " : "") + std::to_string(vlan);
  return text + "]";
}

std::string Cores::allowed(const FieldInfo& info) {
  return range_text(std::to_string(info.lo), std::to_string(info.hi)) + ", one per worker, or auto";
}

std::string Cores::read(const yaml::Node& node, const FieldInfo& info, std::vector<int>& value) {
  if (is_auto(node)) {
    value.clear();
    return "";
  }
  if (node.kind != yaml::Node::Kind::list) {
    return expected("a list of CPUs such as [1], or auto", allowed(info), node);
  }
  if (node.items.empty()) return "the list is empty: allowed " + allowed(info);
  std::vector<int> cores;
  for (const yaml::Node& item : node.items) {
    if (std::string problem = item_problem(item, info); !problem.empty()) return problem;
    cores.push_back(0);
    static_cast<void>(Core::read(item, info, cores.back()));
  }
  value = std::move(cores);
  return "";
}

std::string Cores::item_problem(const yaml::Node& item, const FieldInfo& info) {
  int core = 0;
  if (is_auto(item)) return expected("CPUs in the list", allowed(info), item);
  return Core::read(item, info, core);
}

std::string Cores::check(const std::vector<int>& value, const FieldInfo& info) {
  for (const int core : value) {
    const bool is_inside = core >= 0 && static_cast<uint64_t>(core) <= info.hi;
    if (!is_inside) return out_of_range(std::to_string(core), allowed(info));
  }
  return "";
}

std::string Cores::format(const std::vector<int>& value) {
  if (value.empty()) return std::string(kAuto);
  std::string text = "[";
  for (const int core : value)
    text += (text.size() > 1 ? ", " : "") + std::to_string(core);
  return text + "]";
}

std::string Core::allowed(const FieldInfo& info) {
  return range_text(std::to_string(info.lo), std::to_string(info.hi)) + ", or auto";
}

std::string Core::read(const yaml::Node& node, const FieldInfo& info, int& value) {
  if (is_auto(node)) {
    value = kAutoCore;
    return "";
  }
  uint32_t core = 0;
  std::string problem = read_count(node, info, allowed(info), core);
  if (!problem.empty()) return problem;
  value = static_cast<int>(core);
  return "";
}

std::string Core::check(int value, const FieldInfo& info) {
  return value == kAutoCore ? "" : Cores::check({value}, info);
}

std::string Core::format(int value) {
  return value == kAutoCore ? std::string(kAuto) : std::to_string(value);
}

std::string Shards::allowed(const FieldInfo& info) {
  return "a power of two, " + range_text(std::to_string(info.lo), std::to_string(info.hi)) +
         ", or auto";
}

std::string Shards::read(const yaml::Node& node, const FieldInfo& info, uint32_t& value) {
  if (is_auto(node)) {
    value = kAutoShards;
    return "";
  }
  uint32_t shards = 0;
  if (std::string problem = read_count(node, info, allowed(info), shards); !problem.empty()) {
    return problem;
  }
  const bool fits = shards != kAutoShards && check(shards, info).empty();
  if (!fits) return out_of_range(shown(node.text), allowed(info));
  value = shards;
  return "";
}

std::string Shards::check(uint32_t value, const FieldInfo& info) {
  if (value == kAutoShards || (std::has_single_bit(value) && value <= info.hi)) return "";
  return out_of_range(std::to_string(value), allowed(info));
}

std::string Shards::format(uint32_t value) {
  return value == kAutoShards ? std::string(kAuto) : std::to_string(value);
}

}  // namespace kinds
}  // namespace millrace::ctl
