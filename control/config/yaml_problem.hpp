// SPDX-License-Identifier: Apache-2.0
#pragma once
// Text that is not YAML, in words for who has to mend it: where the slip is, and what to do.
//
// A parser notices a slip where it cannot go on, often lines later and in terms of its grammar.
// This looks at the text around that place for what people get wrong: quotes and brackets that are
// not closed, colons without a space behind them, lines that begin in the wrong column. It guesses;
// where nothing fits, the parser's words remain.
//
// Threads: any; no state. Cost: linear in the text, once per text. Failure: none.

#include "control/config/yaml_tree.hpp"

#include <optional>
#include <string_view>
#include <vector>

namespace millrace::ctl::yaml {

// The lines of a text by number, from 1, without their ends.
class Lines {
 public:
  explicit Lines(std::string_view text);

  int count() const { return static_cast<int>(lines_.size()); }
  // Empty beyond the last.
  std::string_view at(int number) const;
  // From that place to the end of the line.
  std::string_view from(Mark mark) const;

 private:
  std::vector<std::string_view> lines_;
};

// What is wrong with a scalar that begins there and reads as `value`, if anything: it has to be on
// one line. One that goes on in the next does so, nearly always, for want of a colon or a quote.
std::optional<Error> problem_of_scalar(const Lines& lines, Mark at, std::string_view value);

// The place of an entry behind a dash that is not there, for which the parser gives that of what
// comes next: that dash.
Mark place_of_nothing(const Lines& lines, Mark at);

// The first directive but %YAML, most of which the parser takes without a word.
std::optional<Error> problem_of_directive(const Lines& lines);

// A parser stopped at `at`, saying `reason`. `at_end`: since the text was over.
Error problem_of_text(const Lines& lines, Mark at, bool at_end, std::string_view reason);

}  // namespace millrace::ctl::yaml
