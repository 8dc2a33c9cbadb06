// SPDX-License-Identifier: Apache-2.0
#pragma once
// Is there a link on a kernel interface? For `millrace status`.
//
// Threads: any; no state. Cost: three system calls, nothing is changed. Failure: an interface that
// cannot be asked is `missing`.

#include <string>

namespace millrace::ctl {

enum class LinkState { up, no_carrier, down, missing };

// Of the network namespace of the caller.
LinkState link_state(const std::string& interface);
// From IFF_UP and IFF_RUNNING.
LinkState link_state_of(unsigned flags);

// "up", "no carrier", "down", "missing"
const char* link_state_text(LinkState state);
// What it means there, and what to do; empty: nothing.
std::string link_advice(LinkState state, const std::string& interface);

}  // namespace millrace::ctl
