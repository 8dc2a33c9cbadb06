// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

extern char** environ;

namespace millrace::ctl {
namespace {

int pidfd_open(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// posix_spawn's two argument objects, freed together.
struct SpawnSetup {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;

  SpawnSetup() {
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&attributes);
  }
  ~SpawnSetup() {
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
  }
  SpawnSetup(const SpawnSetup&) = delete;
};

void prepare(SpawnSetup& setup, const SpawnRequest& request) {
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  ::posix_spawnattr_setsigmask(&setup.attributes, &none);
  ::posix_spawnattr_setsigdefault(&setup.attributes, &all);
  ::posix_spawnattr_setflags(&setup.attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
  const char* output = request.output_path.empty() ? "/dev/null" : request.output_path.c_str();
  ::posix_spawn_file_actions_addopen(&setup.files, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&setup.files, 1, output, O_WRONLY | O_APPEND | O_CREAT, 0640);
  ::posix_spawn_file_actions_adddup2(&setup.files, 1, 2);
  // dup2 onto itself clears close-on-exec, so this holds when the numbers are the same, too.
  if (request.inherited_fd >= 0) {
    ::posix_spawn_file_actions_adddup2(&setup.files, request.inherited_fd, request.inherited_as);
  }
  const int first_to_close = request.inherited_fd >= 0 ? request.inherited_as + 1 : 3;
  ::posix_spawn_file_actions_addclosefrom_np(&setup.files, first_to_close);
}

}  // namespace

Result<Process> Process::spawn(const SpawnRequest& request) {
  SpawnSetup setup;
  prepare(setup, request);
  std::vector<std::string> texts{request.program};
  texts.insert(texts.end(), request.arguments.begin(), request.arguments.end());
  std::vector<char*> argv;
  for (auto& text : texts) argv.push_back(text.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, request.program.c_str(), &setup.files, &setup.attributes,
                                  argv.data(), environ);
  if (error != 0) {
    return Status(Code::error, "cannot start " + request.program + ": " + std::strerror(error));
  }
  UniqueFd pidfd(pidfd_open(pid));
  if (!pidfd.valid()) {
    const int reason = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return Status(Code::error, std::string("pidfd_open: ") + std::strerror(reason));
  }
  return Process(pid, std::move(pidfd), true);
}

Result<Process> Process::adopt(pid_t pid) {
  UniqueFd pidfd(pidfd_open(pid));
  if (!pidfd.valid()) {
    return Status(Code::error,
                  "process " + std::to_string(pid) + ": " + std::strerror(errno));
  }
  return Process(pid, std::move(pidfd), false);
}

bool Process::running() const {
  pollfd poll{pidfd_.get(), POLLIN, 0};
  return ::poll(&poll, 1, 0) == 0;
}

void Process::signal(int number) const {
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
}

std::string Process::reap() {
  siginfo_t info{};
  const auto id = static_cast<id_t>(pidfd_.get());
  if (::waitid(P_PIDFD, id, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) return "gone";
  if (info.si_code == CLD_EXITED) return "exit status " + std::to_string(info.si_status);
  return "killed by signal " + std::to_string(info.si_status) + " (" +
         ::strsignal(info.si_status) + ")";
}

std::optional<uint64_t> process_start_ticks(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // The second field is the command in brackets and may hold anything; field 22 is the start.
  const auto bracket = line.rfind(')');
  if (bracket == std::string::npos) return std::nullopt;
  std::istringstream rest(line.substr(bracket + 1));
  std::string field;
  for (int index = 3; index < 22; ++index) rest >> field;
  uint64_t ticks = 0;
  if (!(rest >> ticks)) return std::nullopt;
  return ticks;
}

std::optional<pid_t> find_data_plane_of(const std::string& run_dir) {
  namespace fs = std::filesystem;
  // Behind the name of the program.
  std::string wanted;
  for (const std::string& word : {std::string(), std::string("--run-dir"), run_dir,
                                  std::string("--config-fd")}) {
    wanted += word + '\0';
  }
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/ns/net", error);
  for (fs::directory_iterator at("/proc", error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    pid_t pid = 0;
    const auto [stop, fault] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (fault != std::errc() || stop != name.data() + name.size()) continue;
    std::ifstream file(at->path() / "cmdline", std::ios::binary);
    const std::string line(std::istreambuf_iterator<char>(file), {});
    const auto program_end = std::min(line.find('\0'), line.size());
    if (line.compare(program_end, wanted.size(), wanted) != 0) continue;
    std::error_code hidden;
    if (fs::read_symlink(at->path() / "ns/net", hidden) == here && !hidden) return pid;
  }
  return std::nullopt;
}

std::vector<std::string> tail_lines(const std::string& path, std::size_t lines) {
  constexpr std::streamoff kBytesMax = 4096;
  std::ifstream file(path, std::ios::ate | std::ios::binary);
  if (!file) return {};
  const std::streamoff size = file.tellg();
  file.seekg(std::max<std::streamoff>(0, size - kBytesMax));
  std::vector<std::string> all;
  for (std::string line; std::getline(file, line);) all.push_back(line);
  if (all.size() > lines) all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(lines));
  return all;
}

}  // namespace millrace::ctl
