// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/history.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "control/daemon/read_text.hpp"
#include "control/daemon/unique_fd.hpp"

namespace millrace::ctl {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDigits = 20;  // of the largest generation, so that names sort as numbers
constexpr std::string_view kSuffix = ".yaml";

Status failure(const std::string& what, const std::string& path) {
  return {Code::error, what + " " + path + ": " + std::strerror(errno)};
}

Status write_synced(const std::string& path, const std::string& text) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
  if (!file.valid()) return failure("cannot create", path);
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t now = ::write(file.get(), text.data() + written, text.size() - written);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return failure("cannot write", path);
    written += static_cast<std::size_t>(now);
  }
  if (::fsync(file.get()) != 0) return failure("cannot sync", path);
  return {};
}

}  // namespace

Status History::open() {
  std::error_code error;
  fs::create_directories(dir_, error);
  if (error) return {Code::error, "cannot create " + dir_ + ": " + error.message() +
                                       ", for the history of configs: choose a folder that can "
                                       "be written with --state-dir"};
  return {};
}

std::vector<uint64_t> History::generations() const {
  std::vector<uint64_t> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir_, error)) {
    const std::string name = entry.path().filename().string();
    if (name.size() != kDigits + kSuffix.size() || !name.ends_with(kSuffix)) continue;
    uint64_t generation = 0;
    const char* end = name.data() + kDigits;
    const auto parsed = std::from_chars(name.data(), end, generation);
    if (parsed.ec == std::errc() && parsed.ptr == end) found.push_back(generation);
  }
  std::sort(found.begin(), found.end());
  return found;
}

uint64_t History::last_generation() const {
  const auto all = generations();
  return all.empty() ? 0 : all.back();
}

std::optional<std::string> History::text(uint64_t generation) const {
  auto text = read_text(path(generation));
  if (!text.ok()) return std::nullopt;
  return std::move(text).value();
}

Status History::record(uint64_t generation, const std::string& yaml) {
  const std::string final_path = path(generation);
  const uint64_t before = last_generation();
  const bool same_again = before != 0 && before < generation && text(before) == yaml;
  const std::string new_path = dir_ + "/.new";
  if (auto written = write_synced(new_path, yaml); !written.ok()) return written;
  if (::rename(new_path.c_str(), final_path.c_str()) != 0) {
    return failure("cannot rename to", final_path);
  }
  UniqueFd dir(::open(dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.valid()) ::fsync(dir.get());
  if (same_again) ::unlink(path(before).c_str());
  const auto all = generations();
  for (std::size_t i = 0; i + kKept < all.size(); ++i) ::unlink(path(all[i]).c_str());
  return {};
}

std::string History::path(uint64_t generation) const {
  char name[kDigits + 1];
  std::snprintf(name, sizeof name, "%020llu", static_cast<unsigned long long>(generation));
  return dir_ + "/" + name + std::string(kSuffix);
}

}  // namespace millrace::ctl
