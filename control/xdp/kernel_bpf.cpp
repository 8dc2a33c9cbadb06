// SPDX-License-Identifier: Apache-2.0
#include "control/xdp/kernel_bpf.hpp"

#include <algorithm>
#include <array>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <unistd.h>

namespace millrace::ctl {

namespace {

Result<KernelMap> describe_map(uint32_t id) {
  const Fd fd(bpf_map_get_fd_by_id(id));
  if (!fd.valid()) return kernel_error("bpf_map_get_fd_by_id", errno);
  bpf_map_info info = {};
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd.get(), &info, &bytes) != 0)
    return kernel_error("bpf_obj_get_info_by_fd (map)", errno);
  return KernelMap{.name = info.name,
                   .id = info.id,
                   .type = info.type,
                   .key_bytes = info.key_size,
                   .value_bytes = info.value_size,
                   .entries_max = info.max_entries,
                   .flags = info.map_flags};
}

int try_link(int program_fd, int interface_idx, uint32_t mode) {
  bpf_link_create_opts options = {};
  options.sz = sizeof(options);
  options.flags = mode;
  return bpf_link_create(program_fd, interface_idx, BPF_XDP, &options);
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

bool KernelMap::same_definition(const KernelMap& other) const {
  return name == other.name && type == other.type && key_bytes == other.key_bytes &&
         value_bytes == other.value_bytes && entries_max == other.entries_max &&
         flags == other.flags;
}

const KernelMap* KernelProgram::map(const std::string& map_name) const {
  const auto it = std::find_if(maps.begin(), maps.end(),
                               [&](const KernelMap& map) { return map.name == map_name; });
  return it == maps.end() ? nullptr : &*it;
}

bool KernelProgram::is_prefilter() const {
  return name == kProgramName && map(kXsksName) != nullptr && map(kRulesName) != nullptr &&
         map(kCountersName) != nullptr;
}

bool KernelProgram::same_as(const KernelProgram& other) const {
  return tag == other.tag && maps.size() == other.maps.size() &&
         std::all_of(maps.begin(), maps.end(), [&](const KernelMap& mine) {
           const KernelMap* theirs = other.map(mine.name);
           return theirs != nullptr && mine.same_definition(*theirs);
         });
}

Status kernel_error(const std::string& what, int error) {
  std::string text = what + ": " + std::strerror(error);
  if (error == EPERM || error == EACCES)
    text += " (needs root, or the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN)";
  return Status(Code::error, text);
}

Result<KernelProgram> describe_program(int program_fd) {
  std::array<uint32_t, 16> map_ids = {};
  bpf_prog_info info = {};
  info.nr_map_ids = map_ids.size();
  info.map_ids = reinterpret_cast<uintptr_t>(map_ids.data());
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(program_fd, &info, &bytes) != 0)
    return kernel_error("bpf_obj_get_info_by_fd (program)", errno);

  KernelProgram program = {.name = info.name, .tag = 0, .maps = {}};
  static_assert(sizeof(program.tag) == sizeof(info.tag));
  std::memcpy(&program.tag, info.tag, sizeof(info.tag));
  // A foreign program may use more maps than fit; it is foreign then, for ours uses three.
  const std::size_t map_cnt = std::min<std::size_t>(info.nr_map_ids, map_ids.size());
  for (std::size_t i = 0; i < map_cnt; ++i) {
    Result<KernelMap> map = describe_map(map_ids[i]);
    if (!map.ok()) return map.status();
    program.maps.push_back(std::move(map).value());
  }
  return program;
}

Result<std::optional<AttachedProgram>> attached_program(int interface_idx) {
  bpf_xdp_query_opts query = {};
  query.sz = sizeof(query);
  const int error = bpf_xdp_query(interface_idx, 0, &query);
  if (error != 0) return kernel_error("bpf_xdp_query", -error);
  if (query.attach_mode == XDP_ATTACHED_NONE) return std::optional<AttachedProgram>();

  // Several modes at once (XDP_ATTACHED_MULTI) leave prog_id zero; none of them is ours then.
  const uint32_t ids[] = {query.prog_id, query.drv_prog_id, query.hw_prog_id, query.skb_prog_id};
  const auto* id = std::find_if(std::begin(ids), std::end(ids), [](uint32_t i) { return i != 0; });
  if (id == std::end(ids)) return std::optional<AttachedProgram>();
  const Fd fd(bpf_prog_get_fd_by_id(*id));
  if (!fd.valid()) return kernel_error("bpf_prog_get_fd_by_id", errno);
  Result<KernelProgram> program = describe_program(fd.get());
  if (!program.ok()) return program.status();
  return std::optional<AttachedProgram>({.id = *id,
                                         .native = query.attach_mode == XDP_ATTACHED_DRV,
                                         .program = std::move(program).value()});
}

Result<Fd> find_link(int interface_idx, uint32_t program_id) {
  uint32_t id = 0;
  while (bpf_link_get_next_id(id, &id) == 0) {
    Fd fd(bpf_link_get_fd_by_id(id));
    if (!fd.valid()) continue;  // gone since
    bpf_link_info info = {};
    uint32_t bytes = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd.get(), &info, &bytes) != 0)
      return kernel_error("bpf_obj_get_info_by_fd (link)", errno);
    if (info.type == BPF_LINK_TYPE_XDP && info.prog_id == program_id &&
        info.xdp.ifindex == static_cast<uint32_t>(interface_idx))
      return fd;
  }
  if (errno != ENOENT) return kernel_error("bpf_link_get_next_id", errno);
  return Fd();
}

Result<Fd> open_map(uint32_t map_id) {
  Fd fd(bpf_map_get_fd_by_id(map_id));
  if (!fd.valid()) return kernel_error("bpf_map_get_fd_by_id", errno);
  return fd;
}

Status pin_object(int fd, const std::string& path) {
  const std::string fresh = path + "_new";
  ::unlink(fresh.c_str());
  if (bpf_obj_pin(fd, fresh.c_str()) != 0) return kernel_error("cannot pin " + fresh, errno);
  if (std::rename(fresh.c_str(), path.c_str()) == 0) return Status();
  const int error = errno;
  ::unlink(fresh.c_str());
  return kernel_error("cannot pin " + path, error);
}

Result<LinkAttempt> create_link(int program_fd, int interface_idx) {
  LinkAttempt attempt = {.link = Fd(try_link(program_fd, interface_idx, XDP_FLAGS_DRV_MODE)),
                         .native_refusal = {}};
  if (attempt.link.valid()) return attempt;
  attempt.native_refusal = std::strerror(errno);
  attempt.link = Fd(try_link(program_fd, interface_idx, XDP_FLAGS_SKB_MODE));
  if (attempt.link.valid()) return attempt;
  return kernel_error("bpf_link_create in generic mode (native: " + attempt.native_refusal + ")",
                      errno);
}

}  // namespace millrace::ctl
