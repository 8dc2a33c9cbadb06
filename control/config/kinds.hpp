// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the value of a key can be: how it is read, which values are allowed, how it is written.
//
// A kind is a type without state and has
//     type(info)         what it is called: "duration"
//     allowed(info)      which values there are: "1s to 7d"; empty: nothing to add
//     read(node, info, value)   converts; returns what is wrong with the node, empty: nothing
//     check(value, info)        returns what is wrong with the value, empty: nothing
//     format(value)      as in YAML; read() gives the same value back, and equal texts mean equal
//                        values, so diff() may compare texts
// A kind of lists has besides
//     item_problem(node, info)  what is wrong with one item by itself, whatever the others are
// read() leaves `value` alone when it fails. It accepts what fits the member; check() knows the
// range.
//
// Quantities carry a unit, and 1m is not 1M: a number without one is an error that says what to
// write.

#include "control/config/diff.hpp"
#include "control/config/model.hpp"
#include "control/config/yaml_tree.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::ctl {

enum class Presence { required, optional, derived };

struct FieldInfo {
  std::string_view key;
  Presence presence;
  uint64_t lo;  // both inclusive; the kind says of what
  uint64_t hi;
  ReloadClass reload;
  std::string_view help;
};

// "the text \"abc\"", "a list", "nothing": what an operator wrote in place of what was expected.
std::string describe(const yaml::Node& node);

// Foreign text made fit for a message: cut short, control characters replaced.
std::string clip(std::string_view text);

// A YAML scalar that reads back as this text, in quotes if it has to be.
std::string quote(std::string_view text);

namespace kinds {

struct Name {
  static std::string type(const FieldInfo&) { return "name"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, std::string& value);
  static std::string check(const std::string& value, const FieldInfo& info);
  static std::string format(const std::string& value) { return quote(value); }
};

struct Names {
  static std::string type(const FieldInfo&) { return "list of names"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info,
                          std::vector<std::string>& value);
  static std::string item_problem(const yaml::Node& item, const FieldInfo& info);
  static std::string check(const std::vector<std::string>& value, const FieldInfo& info);
  static std::string format(const std::vector<std::string>& value);
};

struct Prefixes {
  static std::string type(const FieldInfo&) { return "list of prefixes"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info,
                          std::vector<Prefix>& value);
  static std::string item_problem(const yaml::Node& item, const FieldInfo& info);
  static std::string check(const std::vector<Prefix>& value, const FieldInfo& info);
  static std::string format(const std::vector<Prefix>& value);
};

// Names of the DNS, kept in lower case and without the closing dot.
struct Suffixes {
  static std::string type(const FieldInfo&) { return "list of DNS names"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info,
                          std::vector<std::string>& value);
  static std::string item_problem(const yaml::Node& item, const FieldInfo& info);
  static std::string check(const std::vector<std::string>& value, const FieldInfo& info);
  static std::string format(const std::vector<std::string>& value);
};

// Of 32 hexadecimal digits each; never repeated in a message.
struct Secrets {
  static std::string type(const FieldInfo&) { return "list of secrets"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info,
                          std::vector<std::string>& value);
  static std::string item_problem(const yaml::Node& item, const FieldInfo& info);
  static std::string check(const std::vector<std::string>& value, const FieldInfo& info);
  static std::string format(const std::vector<std::string>& value) { return Names::format(value); }
};

struct Interface {
  static std::string type(const FieldInfo&) { return "interface"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, std::string& value);
  static std::string check(const std::string& value, const FieldInfo& info);
  static std::string format(const std::string& value) { return quote(value); }
};

struct Device {
  static std::string type(const FieldInfo&) { return "DPDK device"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, std::string& value);
  static std::string check(const std::string& value, const FieldInfo& info);
  static std::string format(const std::string& value) { return quote(value); }
};

struct Path {
  static std::string type(const FieldInfo&) { return "absolute path"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, std::string& value);
  static std::string check(const std::string& value, const FieldInfo& info);
  static std::string format(const std::string& value) { return quote(value); }
};

struct Address {
  static std::string type(const FieldInfo&) { return "address"; }
  static std::string allowed(const FieldInfo&) { return "IPv4 or IPv6, port 53 if left out"; }
  static std::string read(const yaml::Node& node, const FieldInfo& info, Endpoint& value);
  static std::string check(const Endpoint& value, const FieldInfo& info);
  static std::string format(const Endpoint& value) { return quote(value.text()); }
};

// A whole number without a unit.
struct Count {
  static std::string type(const FieldInfo&) { return "number"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, uint32_t& value);
  static std::string read(const yaml::Node& node, const FieldInfo& info, uint16_t& value);
  static std::string check(uint64_t value, const FieldInfo& info);
  static std::string format(uint64_t value) { return std::to_string(value); }
};

struct Bytes {
  static std::string type(const FieldInfo&) { return "size"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, uint64_t& value);
  static std::string read(const yaml::Node& node, const FieldInfo& info, uint32_t& value);
  static std::string check(uint64_t value, const FieldInfo& info);
  static std::string format(uint64_t value);
};

struct Milliseconds {
  static std::string type(const FieldInfo&) { return "duration"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, uint32_t& value);
  static std::string check(uint64_t value, const FieldInfo& info);
  static std::string format(uint64_t value);
};

struct Seconds {
  static std::string type(const FieldInfo&) { return "duration"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, uint32_t& value);
  static std::string check(uint64_t value, const FieldInfo& info);
  static std::string format(uint64_t value);
};

struct Flag {
  static std::string type(const FieldInfo&) { return "true or false"; }
  static std::string allowed(const FieldInfo&) { return ""; }
  static std::string read(const yaml::Node& node, const FieldInfo& info, bool& value);
  static std::string check(bool, const FieldInfo&) { return ""; }
  static std::string format(bool value) { return value ? "true" : "false"; }
};

// The words of an enum, in the order of its values 0, 1, 2, ...
template <class Enum>
struct Choice {
  static const std::vector<std::string_view>& words();
  static std::string type(const FieldInfo&) { return "word"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, Enum& value);
  static std::string check(Enum value, const FieldInfo& info);
  static std::string format(Enum value) {
    return std::string(words().at(static_cast<std::size_t>(value)));
  }
};
template <>
const std::vector<std::string_view>& Choice<abi::IdleMode>::words();
template <>
const std::vector<std::string_view>& Choice<abi::PoolPolicy>::words();
template <>
const std::vector<std::string_view>& Choice<abi::ClockMode>::words();
template <>
const std::vector<std::string_view>& Choice<abi::RuleAction>::words();
template <>
const std::vector<std::string_view>& Choice<abi::UnrelatedRecords>::words();
template <>
const std::vector<std::string_view>& Choice<RecursionNotDesired>::words();
template <>
const std::vector<std::string_view>& Choice<AnyOverUdp>::words();
template <>
const std::vector<std::string_view>& Choice<LogLevel>::words();
extern template struct Choice<abi::IdleMode>;
extern template struct Choice<abi::PoolPolicy>;
extern template struct Choice<abi::UnrelatedRecords>;
extern template struct Choice<abi::ClockMode>;
extern template struct Choice<abi::RuleAction>;
extern template struct Choice<RecursionNotDesired>;
extern template struct Choice<AnyOverUdp>;
extern template struct Choice<LogLevel>;

struct Ports {
  static constexpr uint32_t kWidthMin =
      1024;  // guessing an answer's port must stay hard (RFC 5452)
  static std::string type(const FieldInfo&) { return "[first, last] or first-last"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, PortRange& value);
  static std::string check(const PortRange& value, const FieldInfo& info);
  static std::string format(const PortRange& value);
};

struct Vlans {
  static std::string type(const FieldInfo&) { return "list of VLANs"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info,
                          std::vector<uint16_t>& value);
  static std::string item_problem(const yaml::Node& item, const FieldInfo& info);
  static std::string check(const std::vector<uint16_t>& value, const FieldInfo& info);
  static std::string format(const std::vector<uint16_t>& value);
};

// The three below also take the word `auto`: decided by resolve().
struct Cores {
  static std::string type(const FieldInfo&) { return "list of CPUs"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, std::vector<int>& value);
  static std::string item_problem(const yaml::Node& item, const FieldInfo& info);
  static std::string check(const std::vector<int>& value, const FieldInfo& info);
  static std::string format(const std::vector<int>& value);
};

struct Core {
  static std::string type(const FieldInfo&) { return "CPU"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, int& value);
  static std::string check(int value, const FieldInfo& info);
  static std::string format(int value);
};

struct Shards {
  static std::string type(const FieldInfo&) { return "number"; }
  static std::string allowed(const FieldInfo& info);
  static std::string read(const yaml::Node& node, const FieldInfo& info, uint32_t& value);
  static std::string check(uint32_t value, const FieldInfo& info);
  static std::string format(uint32_t value);
};

}  // namespace kinds
}  // namespace millrace::ctl
