// SPDX-License-Identifier: Apache-2.0
#pragma once
// The verbs of the control socket: what each takes, and what its `data` holds.
//
//     version        {}                                  {version, abi_version}
//     status         {}                                  see status_json.hpp
//     stats          {}                                  see stats_json.hpp
//     config-show    {what: "effective" | "default"}     {yaml, generation}
//     config-apply   {yaml?, source?, dry_run?, allow_restart?, deadline_ms?}
//                                                        {generation, applied, elapsed_ms, reload,
//                                                         changes: [{key, before, after, reload}],
//                                                         warnings: [text], file_not_changed?}
//     cache-lookup   {name, type?, suffix?}              {name, rows_total, rows: see dns_text.hpp}
//     cache-flush    {name?, suffix?, type?, negative?, deadline_ms?}
//                                                        {removed}
//     testing-advance {ms, deadline_ms?}                 {}: the clock has gone on, and what became
//                                                        due has been done
//
// `deadline_ms` is how long the client waits, on CLOCK_MONOTONIC: a request that is read later is
// not carried out (code 5), and one that would take longer is given up before, so that the client
// hears what became of it.
//
// config-apply without `yaml` reads the daemon's own file again. An unknown verb, an unknown
// argument and an argument of the wrong type are usage errors (code 2) that change nothing.

#include <nlohmann/json.hpp>

#include "control/daemon/control_server.hpp"

namespace millrace::ctl {

class Daemon;

void handle_verb(Daemon& daemon, const nlohmann::json& request,
                 const ControlServer::Respond& respond);

}  // namespace millrace::ctl
