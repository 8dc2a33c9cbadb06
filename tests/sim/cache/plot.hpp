// SPDX-License-Identifier: Apache-2.0
#pragma once
// Lines over a logarithmic axis, as an SVG file that any browser shows.
#include <string>
#include <vector>

namespace millrace::cachesim {

struct Line {
  std::string label;
  std::vector<double> y;  // one for each x, in per cent
  bool dashed = false;
};

struct Plot {
  std::string title;
  std::string x_title;
  std::string y_title;
  std::vector<uint64_t> x;  // rising; each gets a tick
  std::vector<Line> lines;
};

std::string svg_of(const Plot& plot);

}  // namespace millrace::cachesim
