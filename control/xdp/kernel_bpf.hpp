// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the kernel says about XDP programs, their maps and their links, and the few things the
// loader does to them. Thin: one function, one question. libbpf stays behind this header and
// prefilter.cpp.
//
// Everything is found by id, not by pin: a pin may lie on a bpffs that this process cannot see.
// Ids are global, interface indices belong to a network namespace, so a link is only taken for the
// one of an interface if the interface itself, asked in this namespace, names the same program.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/base/status.hpp"
#include "ebpf/abi/xdp_abi.h"

namespace millrace::ctl {

#define MR_TEXT_OF(token) #token
#define MR_TEXT(token) MR_TEXT_OF(token)
inline constexpr const char* kProgramName = MR_TEXT(MR_XDP_PROGRAM);
inline constexpr const char* kXsksName = MR_TEXT(MR_XDP_XSKS);
inline constexpr const char* kRulesName = MR_TEXT(MR_XDP_RULES);
inline constexpr const char* kCountersName = MR_TEXT(MR_XDP_COUNTERS);
#undef MR_TEXT
#undef MR_TEXT_OF

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd();

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct KernelMap {
  std::string name;
  uint32_t id;
  uint32_t type;
  uint32_t key_bytes;
  uint32_t value_bytes;
  uint32_t entries_max;
  uint32_t flags;

  bool same_definition(const KernelMap& other) const;
};

struct KernelProgram {
  std::string name;
  uint64_t tag;  // the kernel's digest of the instructions
  std::vector<KernelMap> maps;

  const KernelMap* map(const std::string& map_name) const;
  // Has the names of millrace's prefilter, whatever its version.
  bool is_prefilter() const;
  bool same_as(const KernelProgram& other) const;
};

struct AttachedProgram {
  uint32_t id;
  bool native;  // else generic (SKB) mode
  KernelProgram program;
};

// "<what>: <errno text>", with advice where the errno calls for it.
Status kernel_error(const std::string& what, int error);

Result<KernelProgram> describe_program(int program_fd);

// The program on an interface of this network namespace, if any.
Result<std::optional<AttachedProgram>> attached_program(int interface_idx);

// The link that holds `program_id` on the interface; not valid() if it was attached without one.
Result<Fd> find_link(int interface_idx, uint32_t program_id);

Result<Fd> open_map(uint32_t map_id);

// Shows the object under `path` in one step, replacing what was there.
Status pin_object(int fd, const std::string& path);

struct LinkAttempt {
  Fd link;
  std::string native_refusal;  // why the mode is generic; empty in native mode
};
Result<LinkAttempt> create_link(int program_fd, int interface_idx);

}  // namespace millrace::ctl
