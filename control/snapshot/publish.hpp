// SPDX-License-Identifier: Apache-2.0
#pragma once
// Bytes that nobody can change any more, ready to be sent to another process.

#include "control/base/status.hpp"

#include <cstddef>

namespace millrace::ctl {

// A memfd that holds exactly these bytes, sealed against writing, growing, shrinking and further
// sealing: the receiver may map it and check it once. The caller owns the descriptor
// (close-on-exec, offset 0). `name` shows up in /proc/PID/fd. Failure: the call that failed, with
// errno's text.
Result<int> make_sealed_memfd(const void* image, std::size_t bytes, const char* name);

}  // namespace millrace::ctl
