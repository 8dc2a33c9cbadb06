// SPDX-License-Identifier: Apache-2.0
// Enters namespaces of its own, then runs the tests; skips them all, with the reason, where that or
// BPF is not permitted.

#include <bpf/bpf.h>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

namespace {

constexpr int kMesonSkip = 77;

// The step that failed; null if all went well.
const char* enter_namespaces() {
  if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) return "unshare(CLONE_NEWNET | CLONE_NEWNS)";
  if (::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return "mount --make-rprivate";
  // A sysfs that shows this network namespace, with nothing mounted below it.
  if (::mount("sysfs", "/sys", "sysfs", 0, nullptr) != 0) return "mount sysfs";
  const int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "probe", 4, 4, 1, nullptr);
  if (map < 0) return "bpf(BPF_MAP_CREATE)";
  ::close(map);
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const char* failed = enter_namespaces();
  if (failed != nullptr) {
    std::printf("skipped: %s: %s (needs root)\n", failed, std::strerror(errno));
    return kMesonSkip;
  }
  return RUN_ALL_TESTS();
}
