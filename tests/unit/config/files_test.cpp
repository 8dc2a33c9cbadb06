// SPDX-License-Identifier: Apache-2.0
// The files that come with millrace: the configs load, the reference config explains every key and
// has its default, and the document has the table that fields.def gives.
#include "control/config/format.hpp"
#include "control/config/reference.hpp"
#include "tests/unit/config/support.hpp"

#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

namespace millrace::ctl::testing {
namespace {

const std::string kRoot = MR_SOURCE_ROOT;

std::string read_text(const std::string& path) {
  std::ifstream file(kRoot + "/" + path);
  EXPECT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

template <class Section>
struct ObjectOf {
  using Type = Section;
};
template <class Object>
struct ObjectOf<std::vector<Object>> {
  using Type = Object;
};

TEST(Files, EveryConfigLoads) {
  for (const char* path : {"configs/millrace.yaml", "configs/minimal.yaml", "configs/lab.yaml",
                           "configs/lab-one-armed.yaml"}) {
    const LoadResult result = load_config_text(read_text(path), path, kHost);
    EXPECT_TRUE(result.ok()) << result.text();
  }
}

TEST(Files, TheLabIsAsTheLabTestsExpect) {
  const Config two = load(read_text("configs/lab.yaml")).config.value();
  ASSERT_EQ(two.ports.size(), 2u);
  EXPECT_EQ(two.ports[0].interface, "mr-c");
  EXPECT_EQ(two.ports[1].interface, "mr-u");
  const Config one = load(read_text("configs/lab-one-armed.yaml")).config.value();
  ASSERT_EQ(one.ports.size(), 1u);
  EXPECT_EQ(one.binds, two.binds);
  EXPECT_EQ(one.backends, two.backends);
  EXPECT_EQ(one.dataplane, two.dataplane);
}

// Each key stands in the file, with its default, below a comment "# key: ..." of its section.
TEST(Files, TheReferenceConfigHasEveryKeyWithItsDefault) {
  const std::string text = read_text("configs/millrace.yaml");
  yaml::Node root;
  ASSERT_TRUE(yaml::parse(text, root).empty());
  const Config defaults;
  for_each_section(defaults, [&](const SectionInfo& info, const auto& section) {
    using Object = typename ObjectOf<std::remove_cvref_t<decltype(section)>>::Type;
    const yaml::Node* node = root.find(info.key);
    ASSERT_NE(node, nullptr) << info.key;
    if (info.is_list()) node = &node->items.at(0);
    const std::string heading = "\n# " + std::string(info.key) + ": ";
    const std::size_t from = text.find(heading);
    ASSERT_NE(from, text.npos) << heading;
    const std::size_t end = std::min(text.find("\n# ", from + 1), text.size());
    const std::string part = text.substr(from, text.find("\n\n# ", end) - from);
    Object object{};
    for_each_field(object, [&](auto kind, const FieldInfo& field, auto& member) {
      using Kind = decltype(kind);
      SCOPED_TRACE(std::string(info.key) + "." + std::string(field.key));
      const yaml::Node* value = node->find(field.key);
      ASSERT_NE(value, nullptr);
      EXPECT_NE(part.find("# " + std::string(field.key) + ": "), part.npos);
      const std::string fallback = Kind::format(member);
      ASSERT_EQ(Kind::read(*value, field, member), "");
      const bool has_default = field.presence != Presence::required && field.key != "interface";
      if (has_default) {
        EXPECT_EQ(Kind::format(member), fallback);
      }
    });
  });
}

TEST(Files, TheDocumentHasTheTableOfFieldsDef) {
  const std::string text = read_text("docs/configuration.md");
  const std::string begin = "<!-- keys: begin -->\n";
  const std::size_t from = text.find(begin);
  const std::size_t end = text.find("<!-- keys: end -->");
  ASSERT_NE(from, text.npos);
  ASSERT_NE(end, text.npos);
  EXPECT_EQ(text.substr(from + begin.size(), end - from - begin.size()),
            "\n" + reference_markdown())
      << "run config-reference (control/config) and put its output between the marks";
}

}  // namespace
}  // namespace millrace::ctl::testing
