// SPDX-License-Identifier: Apache-2.0
#include "control/cli/table.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace millrace::cli {
namespace {

bool is_number(const std::string& cell) {
  return !cell.empty() && cell.find_first_not_of("0123456789.") == std::string::npos;
}

}  // namespace

std::string Table::text() const {
  const std::size_t columns = heads_.size();
  std::vector<std::size_t> width(columns);
  std::vector<bool> number(columns, !rows_.empty());
  for (std::size_t c = 0; c < columns; ++c) {
    width[c] = heads_[c].size();
    for (const auto& row : rows_) {
      if (c >= row.size()) continue;
      width[c] = std::max(width[c], row[c].size());
      number[c] = number[c] && is_number(row[c]);
    }
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t c = 0; c < columns && c < cells.size(); ++c) {
      const std::string gap(width[c] - cells[c].size(), ' ');
      text += (c == 0 ? "" : "  ") + (number[c] ? gap + cells[c] : cells[c] + gap);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  line(heads_);
  for (const auto& row : rows_) line(row);
  return out;
}

std::string bytes_text(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  char out[32];
  std::snprintf(out, sizeof out, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return out;
}

std::string seconds_text(double seconds) {
  const auto whole = static_cast<uint64_t>(seconds);
  const uint64_t days = whole / 86400, hours = whole / 3600 % 24, minutes = whole / 60 % 60;
  const auto two = [](uint64_t a, const char* unit_a, uint64_t b, const char* unit_b) {
    return std::to_string(a) + unit_a + " " + std::to_string(b) + unit_b;
  };
  if (days != 0) return two(days, "d", hours, "h");
  if (hours != 0) return two(hours, "h", minutes, "min");
  if (minutes != 0) return two(minutes, "min", whole % 60, "s");
  return std::to_string(whole) + "s";
}

}  // namespace millrace::cli
