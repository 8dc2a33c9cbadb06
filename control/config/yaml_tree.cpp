// SPDX-License-Identifier: Apache-2.0
#include "control/config/yaml_tree.hpp"

#include "control/config/yaml_problem.hpp"

#include <sstream>
#include <stdexcept>
#include <utility>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

namespace millrace::ctl::yaml {
namespace {

constexpr std::size_t kTextErrorsMax = 20;
constexpr std::string_view kNoBreakSpace = "\xc2\xa0";

struct Refused : std::exception {
  Refused(Mark where, std::string why) : error{where, std::move(why)} {}
  const char* what() const noexcept override { return error.message.c_str(); }
  Error error;
};

Mark mark_of(const YAML::Mark& mark) {
  return {mark.line + 1, mark.column + 1};
}

// Puts events together to a tree. A stack of open containers; `slot` is where the next node goes.
class Builder : public YAML::EventHandler {
 public:
  Builder(Node& root, const Lines& lines) : root_(root), lines_(lines) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) {
      throw Refused(mark_of(mark), "a second document starts here: a config is a single document");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    Node node(Node::Kind::null, mark_of(mark));
    if (!stack_.empty() && stack_.back().has_dashes) node.at = place_of_nothing(lines_, node.at);
    add(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refused(mark_of(mark), "aliases (*name) are not supported: write the value out");
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    Node node(Node::Kind::scalar, mark_of(mark));
    if (auto error = problem_of_scalar(lines_, node.at, value)) {
      throw Refused(error->at, std::move(error->message));
    }
    node.quoted = tag == "!";
    node.text = value;
    add(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    open(Node::Kind::list, mark, tag, anchor);
    stack_.back().has_dashes = style == YAML::EmitterStyle::Block;
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::Kind::map, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

  void OnAnchor(const YAML::Mark& mark, const std::string&) override { refuse_anchor(mark, 1); }

  // Where the innermost container that is still open begins.
  Mark innermost() const { return stack_.empty() ? Mark{1, 1} : stack_.back().node.at; }

 private:
  static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) {
      throw Refused(mark_of(mark), "anchors (&name) are not supported: write the value out");
    }
  }

  // "?" and "!" are what yaml-cpp calls the tags of plain and of quoted nodes without one.
  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw Refused(mark_of(mark), "tags (!type) are not supported: remove the tag");
    }
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (stack_.size() >= kYamlDepthMax) {
      throw Refused(mark_of(mark),
                    "nested deeper than " + std::to_string(kYamlDepthMax) + " levels");
    }
    stack_.push_back(Open{Node(kind, mark_of(mark)), false, false, {}, {}});
  }

  void close() {
    Node done = std::move(stack_.back().node);
    stack_.pop_back();
    add(std::move(done));
  }

  void add(Node node) {
    if (++nodes_ > kYamlNodesMax) {
      throw Refused(node.at, "more than " + std::to_string(kYamlNodesMax) + " values");
    }
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = stack_.back();
    if (parent.node.kind == Node::Kind::list) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.has_key) {
      if (node.kind != Node::Kind::scalar) throw Refused(node.at, "a key must be a word");
      parent.has_key = true;
      parent.key = std::move(node.text);
      parent.key_at = node.at;
    } else {
      parent.has_key = false;
      // Nothing has no place of its own: yaml-cpp gives that of what comes next.
      const bool is_absent = node.kind == Node::Kind::null && node.at.line != parent.key_at.line;
      if (is_absent) node.at = parent.key_at;
      parent.node.members.push_back(Member{std::move(parent.key), parent.key_at, std::move(node)});
    }
  }

  struct Open {
    Node node;
    bool has_dashes;  // a list with an entry a line
    bool has_key;
    std::string key;
    Mark key_at;
  };

  Node& root_;
  const Lines& lines_;
  std::vector<Open> stack_;
  std::size_t nodes_ = 0;
  int documents_ = 0;
};

// Bytes of the well-formed UTF-8 sequence at `at`; 0: there is none (RFC 3629, section 4).
std::size_t utf8_sequence(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return tail(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const bool overlong = lead == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = lead == 0xed && byte(1) > 0x9f;
    return tail(1) && tail(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const bool overlong = lead == 0xf0 && byte(1) < 0x90;
    const bool beyond = lead == 0xf4 && byte(1) > 0x8f;
    return tail(1) && tail(2) && tail(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

std::string not_utf8(std::string_view text) {
  const bool is_utf16 = text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff");
  return std::string(is_utf16 ? "the file is UTF-16, not UTF-8 text" : "not UTF-8 text") +
         ": save the file as UTF-8";
}

// What must not be in the text at all, wherever it stands. Of a file that is no text, one place.
std::vector<Error> scan_text(std::string_view text) {
  std::vector<Error> errors;
  Mark at{1, 1};
  bool indenting = true;
  for (std::size_t i = 0; i < text.size() && errors.size() < kTextErrorsMax;) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    const std::size_t length = utf8_sequence(text, i);
    if (length == 0 || c == '\0') return {Error{at, not_utf8(text)}};
    if (c == '\t' && indenting) {
      errors.push_back({at, "a tab cannot indent in YAML: use spaces"});
      indenting = false;
    } else if (indenting && text.substr(i).starts_with(kNoBreakSpace)) {
      errors.push_back({at, "a no-break space cannot indent in YAML: use plain spaces"});
    } else if (c != '\t' && c != '\n' && c != '\r' && control_bytes(text, i) != 0) {
      errors.push_back({at, "a control character: remove it"});
    }
    if (c == '\n') {
      at = {at.line + 1, 1};
      indenting = true;
    } else {
      at.column += static_cast<int>(length);
      indenting = indenting && c == ' ';
    }
    i += length;
  }
  return errors;
}

}  // namespace

std::size_t control_bytes(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  if (byte(0) < 0x20 || byte(0) == 0x7f) return 1;
  if (byte(0) == 0xc2 && byte(1) >= 0x80 && byte(1) <= 0x9f) return 2;  // C1
  const bool turns = (byte(1) == 0x80 && byte(2) >= 0xaa && byte(2) <= 0xae) ||
                     (byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9);
  return byte(0) == 0xe2 && turns ? 3 : 0;  // U+202A..E, U+2066..9
}

const Node* Node::find(std::string_view key) const {
  for (const Member& member : members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

bool is_utf8(std::string_view text) {
  std::size_t length = 1;
  for (std::size_t i = 0; i < text.size() && length != 0; i += length) {
    length = utf8_sequence(text, i);
  }
  return length != 0;
}

std::vector<Error> parse(std::string_view text, Node& root) {
  std::vector<Error> errors = scan_text(text);
  if (!errors.empty()) return errors;
  root = Node(Node::Kind::null, {1, 1});
  const Lines lines(text);
  if (auto error = problem_of_directive(lines)) return {*error};
  Builder builder(root, lines);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refused& refused) {
    errors.push_back(refused.error);
  } catch (const YAML::Exception& e) {
    // What is not closed at the end of the text has no mark of its own.
    const bool at_end = e.mark.pos <= 0 || static_cast<std::size_t>(e.mark.pos) >= text.size();
    const Mark at = at_end ? builder.innermost() : mark_of(e.mark);
    errors.push_back(problem_of_text(lines, at, at_end, e.msg));
  } catch (const std::exception& e) {
    errors.push_back({{1, 1}, std::string("cannot be parsed: ") + e.what()});
  }
  return errors;
}

}  // namespace millrace::ctl::yaml
