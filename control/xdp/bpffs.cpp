// SPDX-License-Identifier: Apache-2.0
#include "control/xdp/bpffs.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <system_error>

#include "ebpf/abi/xdp_abi.h"

namespace millrace::ctl {

namespace fs = std::filesystem;

namespace {

constexpr const char* kStandardMount = "/sys/fs/bpf";

// A mount belongs to the process, whichever object made it.
bool mounted_here = false;

Status file_error(const std::string& what, const fs::path& path, const std::error_code& error) {
  return Status(Code::error, "cannot " + what + " " + path.string() + ": " + error.message());
}

bool is_below(const fs::path& path, const fs::path& top) {
  return std::mismatch(top.begin(), top.end(), path.begin(), path.end()).first == top.end();
}

// Asks the nearest part of the path that exists.
bool on_bpffs(fs::path path) {
  std::error_code ignored;
  while (path.has_relative_path() && !fs::exists(path, ignored)) path = path.parent_path();
  struct statfs info = {};
  return ::statfs(path.c_str(), &info) == 0 &&
         static_cast<unsigned long>(info.f_type) == BPF_FS_MAGIC;
}

fs::path version_folder(const fs::path& root) {
  return root / ("v" + std::to_string(MR_XDP_ABI_VERSION));
}

std::string pin_name(std::string interface) {
  std::replace(interface.begin(), interface.end(), '.', ':');
  return interface;
}

// The kernel puts files of its own there (maps.debug); only their names may have a dot. Closes the
// folder before it returns: an open one would keep it mounted.
bool has_pins(const fs::path& mount) {
  std::error_code error;
  fs::directory_iterator it(mount, error);
  return error || std::any_of(begin(it), end(it), [](const fs::path& path) {
           return path.filename().string().find('.') == std::string::npos;
         });
}

}  // namespace

Status PinFolder::make() const {
  const fs::path path(root_);
  if (!path.is_absolute() || path != path.lexically_normal() || !path.has_filename())
    return Status(Code::error, "pin folder '" + root_ +
                                   "': must be an absolute path without '.' and '..', such as "
                                   "/sys/fs/bpf/millrace");
  if (!on_bpffs(path)) {
    if (!is_below(path, kStandardMount) || path == kStandardMount)
      return Status(Code::error, "pin folder '" + root_ +
                                     "' is not on a bpffs: use a folder below /sys/fs/bpf, or "
                                     "mount one (mount -t bpf bpf DIR)");
    if (::mount("bpf", kStandardMount, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0)
      return file_error("mount a bpffs at", kStandardMount, {errno, std::generic_category()});
    mounted_here = true;
  }
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return Status();
  unmount();
  return file_error("make", path, error);
}

Result<std::string> PinFolder::make_interface(const std::string& interface) const {
  const Status made = make();  // detach_all() may have removed the root since
  if (!made.ok()) return made;
  const fs::path path = version_folder(root_) / pin_name(interface);
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return file_error("make", path, error);
  return path.string();
}

template <class Doomed>
Status PinFolder::remove_if(Doomed doomed) const {
  const fs::path root(root_);
  std::error_code ignored;
  if (!on_bpffs(root) || !fs::exists(root, ignored)) return Status();
  try {
    // Listed first: removing from a folder while it is being read may skip entries.
    std::vector<fs::path> versions(fs::directory_iterator(root), {});
    for (const fs::path& version : versions) {
      std::vector<fs::path> interfaces(fs::directory_iterator(version), {});
      for (const fs::path& interface : interfaces) {
        if (doomed(interface)) fs::remove_all(interface);
      }
      if (fs::is_empty(version)) fs::remove(version);
    }
    if (fs::is_empty(root)) fs::remove(root);
  } catch (const fs::filesystem_error& error) {
    return file_error("remove", error.path1(), error.code());
  }
  return Status();
}

Status PinFolder::remove_all_but(const std::vector<std::string>& interfaces) const {
  std::vector<fs::path> keep;
  for (const std::string& interface : interfaces)
    keep.push_back(version_folder(root_) / pin_name(interface));
  return remove_if([&](const fs::path& path) {
    return std::find(keep.begin(), keep.end(), path) == keep.end();
  });
}

Status PinFolder::remove_other_versions(const std::string& interface) const {
  const fs::path current = version_folder(root_);
  return remove_if([&](const fs::path& path) {
    return path.filename() == pin_name(interface) && path.parent_path() != current;
  });
}

void PinFolder::unmount() {
  if (mounted_here && !has_pins(kStandardMount))
    mounted_here = ::umount2(kStandardMount, 0) != 0;
}

}  // namespace millrace::ctl
