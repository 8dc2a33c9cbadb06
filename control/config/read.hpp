// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a YAML tree to the model: every key that is known is read, every other is an error.
//
// The Report remembers where each key stands, so that what validate() finds later can be put on its
// line, and which keys are broken already, so that nothing is reported that only follows from them.

#include "control/config/diagnostic.hpp"
#include "control/config/key_set.hpp"
#include "control/config/model.hpp"
#include "control/config/yaml_tree.hpp"

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace millrace::ctl {

class Report {
 public:
  Report(std::string file, std::size_t errors_max)
      : file_(std::move(file)), errors_max_(errors_max) {}

  // Beyond the maximum errors are dropped; readers stop when full.
  void error(yaml::Mark at, const std::string& key, const std::string& message);
  bool full() const { return errors_.size() >= errors_max_; }

  void place(const std::string& key, yaml::Mark at) { places_[key] = at; }
  // The place of the key, or of the nearest object around it that has one; line 0: none has.
  yaml::Mark place_of(std::string key) const;
  bool is_written(const std::string& key) const { return places_.contains(key); }

  void mark_broken(const std::string& key) { broken_.insert(key); }
  bool is_broken(const std::string& key) const { return broken_.touches(key); }

  std::vector<Diagnostic> take_sorted() &&;

 private:
  std::string file_;
  std::size_t errors_max_;
  std::vector<Diagnostic> errors_;
  std::map<std::string, yaml::Mark> places_;
  KeySet broken_;
};

void read_config(const yaml::Node& root, Config& config, Report& report);

}  // namespace millrace::ctl
