// SPDX-License-Identifier: Apache-2.0
#pragma once
// Text in columns: the first to the left, numbers to the right.

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::cli {

class Table {
 public:
  explicit Table(std::vector<std::string> heads) : heads_(std::move(heads)) {}

  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }

  // Columns are as wide as their widest cell; a column of numbers is set to the right.
  std::string text() const;

 private:
  std::vector<std::string> heads_;
  std::vector<std::vector<std::string>> rows_;
};

std::string bytes_text(uint64_t bytes);    // "64.0 MiB"
std::string seconds_text(double seconds);  // "2d 3h", "41s"

}  // namespace millrace::cli
