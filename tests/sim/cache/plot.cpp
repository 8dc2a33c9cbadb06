// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/cache/plot.hpp"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <numeric>

namespace millrace::cachesim {

namespace {

constexpr double kWidth = 860, kHeight = 480;
constexpr double kLeft = 70, kRight = 650, kTop = 50, kBottom = 420;
constexpr double kLabelStep = 17;  // labels stand at least so far apart
// Okabe and Ito's colours, which people with colour blindness can tell apart.
constexpr const char* kColours[] = {"#d55e00", "#999999", "#56b4e9", "#e69f00",
                                    "#0072b2", "#009e73", "#cc79a7", "#000000"};

[[gnu::format(printf, 2, 3)]] void put(std::string& out, const char* format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  out += text;
}

class Drawing {
 public:
  explicit Drawing(const Plot& plot) : plot_(plot) {
    low_ = 100, high_ = 0;
    for (const Line& line : plot.lines) {
      low_ = std::min(low_, *std::min_element(line.y.begin(), line.y.end()));
      high_ = std::max(high_, *std::max_element(line.y.begin(), line.y.end()));
    }
    step_ = high_ - low_ > 25 ? 5 : high_ - low_ > 10 ? 2 : 1;
    low_ = std::max(0.0, std::floor(low_ / step_) * step_ - step_);
    high_ = std::ceil(high_ / step_) * step_;
    if (high_ <= low_) high_ = low_ + step_;
  }

  std::string draw() {
    put(out_,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
        "font-family=\"sans-serif\" font-size=\"13\">\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        kWidth, kHeight);
    text(kLeft, 26, "start", plot_.title, "font-size=\"16\"");
    axes();
    for (std::size_t i = 0; i < plot_.lines.size(); ++i)
      line(plot_.lines[i], colour(i));
    labels();
    return out_ + "</svg>\n";
  }

 private:
  static const char* colour(std::size_t i) { return kColours[i % std::size(kColours)]; }
  double x_of(uint64_t value) const {
    const double first = std::log2(static_cast<double>(plot_.x.front()));
    const double last = std::log2(static_cast<double>(plot_.x.back()));
    const double at = std::log2(static_cast<double>(value)) - first;
    return kLeft + (kRight - kLeft) * (last > first ? at / (last - first) : 0.5);
  }
  double y_of(double value) const {
    return kBottom - (kBottom - kTop) * (value - low_) / (high_ - low_);
  }
  void text(double x, double y, const char* anchor, const std::string& what, const char* more) {
    put(out_, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" %s>%s</text>\n", x, y, anchor, more,
        what.c_str());
  }

  void axes() {
    for (double value = low_; value <= high_ + 1e-9; value += step_) {
      put(out_, "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#ddd\"/>\n", kLeft, y_of(value), kRight);
      text(kLeft - 8, y_of(value) + 4, "end", std::to_string(std::lround(value)) + " %", "");
    }
    for (const uint64_t value : plot_.x) {
      put(out_, "<path d=\"M%.1f %.1fV%.1f\" stroke=\"#ddd\"/>\n", x_of(value), kTop, kBottom);
      text(x_of(value), kBottom + 20, "middle", std::to_string(value), "");
    }
    put(out_, "<path d=\"M%.1f %.1fV%.1fH%.1f\" fill=\"none\" stroke=\"#000\"/>\n", kLeft, kTop,
        kBottom, kRight);
    text((kLeft + kRight) / 2, kBottom + 46, "middle", plot_.x_title, "");
    put(out_,
        "<text transform=\"translate(18 %.1f) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
        (kTop + kBottom) / 2, plot_.y_title.c_str());
  }

  void line(const Line& line, const char* colour) {
    put(out_, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s d=\"", colour,
        line.dashed ? " stroke-dasharray=\"6 4\"" : "");
    for (std::size_t i = 0; i < plot_.x.size(); ++i)
      put(out_, "%c%.1f %.1f", i == 0 ? 'M' : 'L', x_of(plot_.x[i]), y_of(line.y[i]));
    out_ += "\"/>\n";
  }

  // In the order of where the lines begin, on the left, where they are furthest apart; each with a
  // piece of its line.
  void labels() {
    std::vector<std::size_t> order(plot_.lines.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
      return plot_.lines[a].y.front() > plot_.lines[b].y.front();
    });
    double y = kTop + 10;
    for (const std::size_t i : order) {
      const Line& line = plot_.lines[i];
      put(out_, "<path d=\"M%.1f %.1fh28\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", kRight + 16,
          y - 4, colour(i), line.dashed ? " stroke-dasharray=\"6 4\"" : "");
      text(kRight + 50, y, "start", line.label, "");
      y += kLabelStep;
    }
  }

  const Plot& plot_;
  double low_, high_, step_;
  std::string out_;
};

}  // namespace

std::string svg_of(const Plot& plot) {
  return Drawing(plot).draw();
}

}  // namespace millrace::cachesim
