// SPDX-License-Identifier: Apache-2.0
#pragma once
// YAML text as a tree of nodes that know where they stand.
//
// A config needs little of YAML: maps, lists and scalars. What makes parsers expensive or documents
// surprising is refused as soon as it is met: anchors and aliases, tags, a second document, deep
// nesting, tabs that indent, scalars of more than one line, text that is not UTF-8. Duplicate keys
// are kept for the reader to report.
//
// Threads: any; no state. Memory: kYamlNodesMax nodes and the text again. Failure: never throws.
// yaml-cpp is used in yaml_tree.cpp alone.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::ctl::yaml {

inline constexpr int kYamlDepthMax = 16;
inline constexpr std::size_t kYamlNodesMax = 20'000;

struct Mark {
  int line = 0;    // from 1
  int column = 0;  // from 1, in bytes
};

struct Member;

struct Node {
  enum class Kind { null, scalar, list, map };

  // Out of line: here Member is not complete yet.
  explicit Node(Kind kind = Kind::null, Mark at = {});

  Kind kind;
  bool quoted = false;  // a scalar in quotes is text, whatever it looks like
  Mark at;
  std::string text;             // scalar
  std::vector<Node> items;      // list
  std::vector<Member> members;  // map, in the order of the file

  bool is_plain() const { return kind == Kind::scalar && !quoted; }
  // The first member of that name; null when there is none.
  const Node* find(std::string_view key) const;
};

struct Member {
  std::string key;
  Mark key_at;
  Node value;
};

// How many bytes from there are one character that a terminal obeys instead of showing it: those of
// ASCII, their like behind it (U+0080 to U+009F), and what turns the direction of writing; else 0.
std::size_t control_bytes(std::string_view text, std::size_t at);

inline Node::Node(Kind node_kind, Mark node_at) : kind(node_kind), at(node_at) {}

struct Error {
  Mark at;
  std::string message;
};

bool is_utf8(std::string_view text);

// An empty result means that `root` is whole. An empty text is a null node at 1:1.
std::vector<Error> parse(std::string_view text, Node& root);

}  // namespace millrace::ctl::yaml
