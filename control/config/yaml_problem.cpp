// SPDX-License-Identifier: Apache-2.0
#include "control/config/yaml_problem.hpp"

#include <algorithm>
#include <optional>

namespace millrace::ctl::yaml {
namespace {

constexpr std::string_view kBlanks = " \t\r";
constexpr std::string_view kQuoteAddress =
    "an address in brackets with a port stands in quotes: \"[fd00:18::53]:53\"";
constexpr std::string_view kOneLine =
    "texts of several lines (| and >) are not supported: write the value on one line";
constexpr std::string_view kNotYaml = "not valid YAML: ";
constexpr std::string_view kNoDirectives = "directives (%) are not supported: remove the line";
constexpr std::string_view kCloseQuote =
    "the quote that opens here is not closed in this line: close it";

std::string place(Mark at) {
  return "line " + std::to_string(at.line) + ", column " + std::to_string(at.column);
}

std::string in_marks(char c) { return "`" + std::string(1, c) + "`"; }

Mark mark_at(int line, std::size_t index) { return {line, static_cast<int>(index) + 1}; }

std::size_t index_of(Mark at) { return static_cast<std::size_t>(std::max(at.column, 1) - 1); }

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

bool is_blank(char c) { return kBlanks.find(c) != kBlanks.npos; }

// The end of what stands in quotes from `open` on; npos: it is not closed in this line.
std::size_t closing_quote(std::string_view line, std::size_t open) {
  const char quote = line[open];
  for (std::size_t i = open + 1; i < line.size(); ++i) {
    if (quote == '"' && line[i] == '\\') {
      ++i;
    } else if (line[i] == quote) {
      const bool doubled = quote == '\'' && i + 1 < line.size() && line[i + 1] == quote;
      if (!doubled) return i;
      ++i;
    }
  }
  return line.npos;
}

// A line as far as one can read it without the others.
struct Seen {
  bool empty = true;       // blank, or a comment
  std::size_t indent = 0;  // of the first byte
  std::size_t key = 0;     // of the first byte behind dashes
  std::size_t colon = std::string_view::npos;  // that ends the key: a blank or nothing behind it
  std::size_t tight = std::string_view::npos;  // a colon before that, with no blank behind it
  std::size_t open_quote = std::string_view::npos;
};

Seen look_at(std::string_view line) {
  Seen seen;
  seen.indent = std::min(line.find_first_not_of(kBlanks), line.size());
  seen.key = seen.indent;
  seen.empty = seen.indent == line.size() || line[seen.indent] == '#';
  while (seen.key + 1 < line.size() && line[seen.key] == '-' && is_blank(line[seen.key + 1])) {
    seen.key = std::min(line.find_first_not_of(kBlanks, seen.key + 1), line.size());
  }
  bool begins = true;  // here a quote opens
  for (std::size_t i = seen.key; i < line.size() && !seen.empty; ++i) {
    const char c = line[i];
    if (c == '#' && i != 0 && is_blank(line[i - 1])) break;
    if (begins && (c == '"' || c == '\'')) {
      const std::size_t close = closing_quote(line, i);
      if (close == line.npos) {
        seen.open_quote = i;
        break;
      }
      i = close;
      begins = false;
      continue;
    }
    const bool spaced = i + 1 == line.size() || is_blank(line[i + 1]);
    if (c == ':' && seen.colon == line.npos) {
      if (spaced) seen.colon = i;
      else if (seen.tight == line.npos) seen.tight = i;
    }
    const bool opens = c == '[' || c == '{' || c == ',' || (c == ':' && spaced);
    begins = opens || (begins && is_blank(c));
  }
  return seen;
}

struct Bracket {
  Mark at;
  char open;
};
char closing(char open) { return open == '[' ? ']' : '}'; }

// The brackets that are open at `end`. Brackets count where a value may begin, or inside of others.
std::vector<Bracket> open_brackets(const Lines& lines, Mark end) {
  std::vector<Bracket> open;
  for (int number = 1; number <= std::min(end.line, lines.count()); ++number) {
    std::string_view line = lines.at(number);
    if (number == end.line) line = line.substr(0, index_of(end));
    bool begins = true;
    for (std::size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      if (c == '#' && (i == 0 || is_blank(line[i - 1]))) break;
      if (begins && (c == '"' || c == '\'')) {
        i = closing_quote(line, i);
        if (i == line.npos) break;
        begins = false;
      } else if ((c == '[' || c == '{') && (begins || !open.empty())) {
        open.push_back({mark_at(number, i), c});
        begins = true;
      } else if ((c == ']' || c == '}') && !open.empty() && closing(open.back().open) == c) {
        open.pop_back();
        begins = false;
      } else if (!is_blank(c)) {
        const bool spaced = i + 1 == line.size() || is_blank(line[i + 1]);
        begins = ((c == ':' || c == '-') && spaced) || (c == ',' && !open.empty());
      }
    }
  }
  return open;
}

// The nearest line above that says something; 0: there is none.
int line_before(const Lines& lines, int number) {
  do {
    --number;
  } while (number > 0 && look_at(lines.at(number)).empty);
  return number;
}

// The first up to there.
std::optional<Error> unclosed_quote(const Lines& lines, Mark at) {
  for (int number = 1; number <= std::min(at.line, lines.count()); ++number) {
    const Seen seen = look_at(lines.at(number));
    if (seen.open_quote == std::string_view::npos) continue;
    return Error{mark_at(number, seen.open_quote),
                 std::string(kCloseQuote)};
  }
  return {};
}

// What is wrong with a line that should be `key: value`, by itself.
std::optional<Error> problem_of_key(const Lines& lines, int number) {
  const std::string_view line = lines.at(number);
  const Seen seen = look_at(line);
  if (seen.empty) return {};
  const std::string_view text = trimmed(line.substr(seen.key));
  if (text == "-") {
    return Error{mark_at(number, seen.key), "a `-` with nothing behind it: write the entry of the "
                                            "list behind it, or remove it"};
  }
  if (text.size() > 1 && text[0] == '-' && text[1] != '-' && !is_blank(text[1])) {
    return Error{mark_at(number, seen.key), "a space is missing behind the dash"};
  }
  if (seen.colon != line.npos) return {};
  if (seen.tight != line.npos) {
    return Error{mark_at(number, seen.tight), "a space is missing behind the colon"};
  }
  // Without the text: a secret may be in it.
  return Error{mark_at(number, seen.key), "no colon in this line: a key is written `key: value`"};
}

// An address with a port, whose brackets YAML takes for a list.
bool is_bare_address(std::string_view line, Mark at) {
  const std::size_t here = index_of(at);
  return here < line.size() && line[here] == ':' && here != 0 && line[here - 1] == ']';
}

Error in_brackets(const Lines& lines, Mark at, bool at_end, const Bracket& innermost) {
  const std::string_view line = lines.at(at.line);
  if (!at_end && is_bare_address(line, at)) return {at, std::string(kQuoteAddress)};
  const std::string close = in_marks(closing(innermost.open));
  const char here = at_end || index_of(at) >= line.size() ? '\0' : line[index_of(at)];
  if (here == ']' || here == '}') {
    return {at, in_marks(here) + " stands where " + close + " is expected, for the " +
                    in_marks(innermost.open) + " of " + place(innermost.at)};
  }
  const auto indent = [&](int number) { return look_at(lines.at(number)).indent; };
  if (at_end || (innermost.at.line != at.line && indent(at.line) <= indent(innermost.at.line))) {
    return {innermost.at, "the " + in_marks(innermost.open) + " that opens here is not closed: " +
                              close + " is missing" +
                              (at_end ? "" : " before line " + std::to_string(at.line))};
  }
  return {at, "a comma or the closing " + close + " is missing before this"};
}

// A line begins a key where the value of the one above would go on.
Error too_deep(const Lines& lines, int before, int number) {
  if (auto error = problem_of_key(lines, before)) return *error;
  if (auto error = problem_of_key(lines, number)) return *error;
  const Seen above = look_at(lines.at(before));
  const Mark begin = mark_at(number, look_at(lines.at(number)).key);
  if (index_of(begin) <= above.key) {
    return {begin, "a key cannot stand here: compare its indentation with the lines above"};
  }
  return {begin, "indented deeper than line " + std::to_string(before) +
                     ", which has a value already: begin in column " +
                     std::to_string(above.key + 1) + ", too"};
}

// A colon where the line has no key, or has one already.
Error stray_colon(const Lines& lines, Mark at) {
  if (look_at(lines.at(at.line)).colon >= index_of(at)) {
    return too_deep(lines, line_before(lines, at.line), at.line);
  }
  return {at, "a second key in this line: give it a line of its own, or put the value in quotes if "
              "the colon is part of it"};
}

// The parser wanted the block to end, and what comes is not what may follow.
Error stray_text(const Lines& lines, Mark at) {
  const std::string_view line = lines.at(at.line);
  const Seen seen = look_at(line);
  if (is_bare_address(line, at)) return {at, std::string(kQuoteAddress)};
  if (index_of(at) > seen.key) {
    const std::string_view before = trimmed(line.substr(0, index_of(at)));
    const char last = before.empty() ? '\0' : before.back();
    if (last == '\'' || last == '"') {
      return {at, "text behind a closing quote: inside of quotes a ' is written '' in '...', and a "
                  "\" is written \\\" in \"...\""};
    }
    return {at, "text behind a value that is whole: remove it, put all of it in quotes, or begin a "
                "comment with ` #`"};
  }
  if (auto error = problem_of_key(lines, at.line); error && seen.key == seen.indent) return *error;
  const bool is_entry = seen.key != seen.indent;
  const int before = line_before(lines, at.line);
  const Seen above = look_at(lines.at(before));
  if (is_entry && above.indent == seen.indent) {
    return {at, "an entry of a list (`- `) where a key is expected"};
  }
  return {at, "begins in column " + std::to_string(at.column) +
                  ", which goes with no line above: keys of one map begin in the same column, as "
                  "do the dashes of one list" +
                  "; line " + std::to_string(before) + " begins in column " +
                  std::to_string(above.indent + 1) +
                  (above.key == above.indent
                       ? ""
                       : ", its key in column " + std::to_string(above.key + 1))};
}

// What a single byte says that YAML gives a meaning to.
std::optional<Error> reserved(const Lines& lines, Mark at) {
  const std::string_view line = lines.at(at.line);
  const std::size_t here = index_of(at);
  for (const std::size_t i : {here, here == 0 ? here : here - 1}) {
    if (i >= line.size()) continue;
    const char c = line[i];
    if (c == '&' || c == '*') {
      return Error{mark_at(at.line, i),
                   "anchors (&name) and aliases (*name) are not supported: put the text in quotes, "
                   "or write the value out"};
    }
    if (i == here && (c == '@' || c == '`' || c == '%')) {
      return Error{at, "a text cannot begin with " + (c == '`' ? "a backtick" : in_marks(c)) +
                           ": put it in quotes"};
    }
    if (c == '|' || c == '>') {
      return Error{mark_at(at.line, i), std::string(kOneLine)};
    }
  }
  return {};
}

bool says(std::string_view reason, std::string_view words) {
  return reason.find(words) != reason.npos;
}

Error explained(const Lines& lines, Mark at, bool at_end, std::string_view reason) {
  if (says(reason, "directive") || says(reason, "YAML")) {
    return {at, std::string(kNoDirectives)};
  }
  if (says(reason, "block scalar")) return {at, std::string(kOneLine)};
  if (auto error = unclosed_quote(lines, at)) return *error;
  if (says(reason, "escape") || says(reason, "hex") || says(reason, "unicode")) {
    return {at, "no escape that YAML knows: in \"...\" a backslash is written \\\\, in '...' it "
                "stands for itself"};
  }
  if (auto error = reserved(lines, at); error && !at_end && !says(reason, "end of")) return *error;
  const auto open = open_brackets(lines, at_end ? Mark{lines.count() + 1, 1} : at);
  if (!open.empty()) return in_brackets(lines, at, at_end, open.back());
  if (says(reason, "flow end")) {
    return {at, in_marks(lines.from(at).empty() ? ']' : lines.from(at).front()) +
                    " closes nothing: remove it, or put the text in quotes"};
  }
  if (says(reason, "block entry")) {
    return {at, "an entry of a list (`- `) cannot stand behind its key: begin a new line, or write "
                "[a, b]"};
  }
  if (says(reason, "map value")) return stray_colon(lines, at);
  if (says(reason, "end of")) return stray_text(lines, at);
  return {at, std::string(reason)};
}

}  // namespace

Lines::Lines(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // columns begin behind it
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines_.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string_view Lines::at(int number) const {
  return number >= 1 && number <= count() ? lines_[static_cast<std::size_t>(number) - 1]
                                          : std::string_view();
}

std::string_view Lines::from(Mark mark) const {
  const std::string_view line = at(mark.line);
  return line.substr(std::min(index_of(mark), line.size()));
}

std::optional<Error> problem_of_scalar(const Lines& lines, Mark at, std::string_view value) {
  const std::string_view rest = lines.from(at);
  const char first = rest.empty() ? '\0' : rest.front();
  if (first == '"' || first == '\'') {
    if (closing_quote(rest, 0) != rest.npos) return {};
    return Error{at, std::string(kCloseQuote)};
  }
  if (first == '|' || first == '>') return Error{at, std::string(kOneLine)};
  if (rest.starts_with(value)) return {};
  int next = at.line + 1;
  while (next < lines.count() && look_at(lines.at(next)).empty) ++next;
  const auto open = open_brackets(lines, at);
  if (open.empty()) return too_deep(lines, at.line, next);
  return in_brackets(lines, mark_at(next, look_at(lines.at(next)).indent), false, open.back());
}

Mark place_of_nothing(const Lines& lines, Mark at) {
  const std::size_t indent = look_at(lines.at(at.line)).indent;
  const bool at_end = trimmed(lines.from(at)).empty() || index_of(at) < indent;
  if (!at_end && index_of(at) > indent) return at;  // `- ~`
  const int before = line_before(lines, at_end ? at.line + 1 : at.line);
  const std::string_view line = lines.at(before);
  const std::size_t key = look_at(line).key;
  const std::string_view rest = trimmed(line.substr(key));
  if (rest == "-") return mark_at(before, key);
  const bool ends = key != 0 && (rest.empty() || rest.front() == '#');
  const std::size_t dash = ends ? line.rfind('-', key - 1) : line.npos;
  return dash == line.npos ? at : mark_at(before, dash);
}

std::optional<Error> problem_of_directive(const Lines& lines) {
  for (int number = 1; number <= lines.count(); ++number) {
    const std::string_view line = lines.at(number);
    if (line.starts_with('%') && !line.starts_with("%YAML ")) {
      return Error{{number, 1}, std::string(kNotYaml) + std::string(kNoDirectives)};
    }
  }
  return {};
}

Error problem_of_text(const Lines& lines, Mark at, bool at_end, std::string_view reason) {
  Error error = explained(lines, at, at_end, reason);
  error.message.insert(0, kNotYaml);
  return error;
}

}  // namespace millrace::ctl::yaml
