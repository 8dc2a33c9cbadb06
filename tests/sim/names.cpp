// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/names.hpp"

#include "tests/support/packet_reader.hpp"

#include <cctype>

namespace millrace::sim {
namespace {

void put_label(Bytes& name, std::string_view label) {
  name.push_back(static_cast<uint8_t>(label.size()));
  name.insert(name.end(), label.begin(), label.end());
}

constexpr std::string_view kZone("\2mr\4test\0", 9);

}  // namespace

Bytes make_name(std::string_view label, Shape shape, uint32_t bytes_wanted) {
  Bytes tail;
  put_label(tail, label);
  const auto number = static_cast<uint32_t>(shape);
  const char code[2] = {static_cast<char>('a' + number / 26), static_cast<char>('a' + number % 26)};
  put_label(tail, {code, 2});
  tail.insert(tail.end(), kZone.begin(), kZone.end());
  Bytes name;
  while (name.size() + tail.size() + 2 <= bytes_wanted) {
    const std::size_t left = bytes_wanted - name.size() - tail.size() - 1;
    put_label(name, std::string(left < 63 ? left : left == 64 ? 31 : 63, 'p'));
  }
  name.insert(name.end(), tail.begin(), tail.end());
  return name;
}

Shape shape_of(const Bytes& name) {
  if (name.size() < kZone.size() + 3) return Shape::nxdomain;
  const std::size_t at = name.size() - kZone.size() - 2;
  const int high = std::tolower(name[at]) - 'a';
  const int low = std::tolower(name[at + 1]) - 'a';
  const int number = high * 26 + low;
  if (name[at - 1] != 2 || number < 0 || number >= static_cast<int>(kShapes))
    return Shape::nxdomain;
  return static_cast<Shape>(number);
}

Bytes random_case(Bytes name, Random& random) {
  for (uint8_t& octet : name) {
    if (std::isalpha(octet) != 0 && random.chance(500)) octet ^= 0x20;
  }
  return name;
}

std::string text_of(const Bytes& name) {
  std::string text;
  for (std::size_t at = 0; at < name.size() && name[at] != 0; at += 1u + name[at]) {
    const std::size_t end = std::min(name.size(), at + 1 + name[at]);
    for (std::size_t i = at + 1; i < end; ++i) {
      text += std::isgraph(name[i]) != 0 ? static_cast<char>(name[i]) : '?';
    }
    text += '.';
  }
  return text;
}

std::string key_text(const Bytes& name, uint16_t type, bool flag_do, bool flag_cd, uint8_t view,
                     const Bytes& subnet) {
  const Bytes lower = test::folded(name);
  std::string key(1, static_cast<char>(subnet.size()));
  key.append(subnet.begin(), subnet.end());
  key.append(lower.begin(), lower.end());
  key += static_cast<char>(type >> 8);
  key += static_cast<char>(type & 0xff);
  key += static_cast<char>(flag_do);
  key += static_cast<char>(flag_cd);
  key += static_cast<char>(view);
  return key;
}

std::string question_of(const std::string& key) {
  return key.substr(1 + static_cast<unsigned char>(key[0]));
}

}  // namespace millrace::sim
