// SPDX-License-Identifier: Apache-2.0
#pragma once
// Unix sockets by path. Non-blocking and close-on-exec, both ends.

#include <sys/types.h>

#include <string>

#include "control/base/status.hpp"
#include "control/daemon/unique_fd.hpp"

namespace millrace::ctl {

// `type`: SOCK_STREAM or SOCK_SEQPACKET. Paths longer than 107 bytes are refused with the limit.
Result<UniqueFd> connect_unix(const std::string& path, int type);

// Takes the place of a socket file left behind. The caller holds the lock that says that nobody
// else serves this path.
Result<UniqueFd> listen_unix(const std::string& path, int type, mode_t mode, int backlog);

}  // namespace millrace::ctl
