// SPDX-License-Identifier: Apache-2.0
#pragma once
// The kernel half of the packet path: loads, attaches, feeds and removes the eBPF prefilter.
//
// Each interface gets an instance of its own (program, maps, link), because the AF_XDP socket map
// is indexed by queue number and queue numbers repeat from one interface to the next:
//
//     <pin_dir>/<ABI version>/<interface>/link       keeps the program attached
//                                         xsks_map   queue -> AF_XDP socket (data plane)
//                                         mr_rules   [0] -> the endpoints of one generation
//                                         mr_counters
//
// The pins, not this process, keep an instance alive: it outlives a crash of the control plane, and
// the next one adopts it. Pins can be out of sight (`ip netns exec` gives each process a bpffs of
// its own), so what runs on an interface is found by asking the kernel (attached program -> its
// maps, program -> link id); the pins are only read to be removed.
//
// What attach() does, by what it finds on the interface:
//
//     nothing                               load, attach, pin
//     our program, same instructions        keep it, pin its link again     adopted
//     our program, other instructions       load the new one around the running xsks_map,
//                                           swap it in with one link update adopted
//     the same, but xsks_map is different   swap in with a map of its own   not adopted
//     anything else                         error; it is never replaced
//
// "Adopted" means that AF_XDP sockets of a running data plane stay in use. A data plane that was
// running while `adopted()` is false has to be restarted to get packets again; until then they pass
// to the kernel. After a swap the rules are empty (everything passes to the kernel) until
// set_rules().
//
// Threads: one thread at a time; nothing is shared behind the callers' back but libbpf's print
// hook. Memory: about 60 KiB of kernel memory per rule generation, two of them during a swap. Cost:
// open 1 ms, attach some 10 ms, set_rules 5-25 ms per interface (a kernel grace period). Failure: a
// Status that says what to do. No failure detaches something that worked before. Limits:
// MR_XDP_ENDPOINTS_MAX rows and MR_XDP_QUEUES_MAX queues per interface (ebpf/abi/xdp_abi.h); one
// pin_dir per running control plane.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/base/status.hpp"
#include "dataplane/abi/abi_base.hpp"

namespace millrace::ctl {

// Where answers come from, and where they go.
struct AnswerRules {
  std::vector<abi::Address> backends = {};
  std::vector<abi::Address> sources = {};
  uint16_t port_first = 0;  // [first, end), host order
  uint16_t port_end = 0;
};

// Everything the prefilter knows, of one generation.
struct PrefilterRules {
  std::vector<abi::Address> services = {};  // address and port that clients ask
  std::vector<abi::Address> backends = {};  // address and port that answers come from
  // Our addresses towards the backends (ports ignored). Empty: an answer may be for any address,
  // which would also catch answers that this machine merely forwards for somebody else.
  std::vector<abi::Address> sources = {};
  uint16_t upstream_port_first = 0;         // [first, end), host order
  uint16_t upstream_port_end = 0;
  uint64_t generation = 0;
  // Answers that are taken as well: to what another config asked, or may ask soon. If there is not
  // room for all of them, for the first.
  std::vector<AnswerRules> also = {};
};

// One row per reason of ebpf/abi/xdp_reasons.def, in its order, summed over all CPUs. Each packet
// the interface received while the program was attached is in exactly one row.
struct PrefilterCounters {
  std::vector<std::pair<std::string, uint64_t>> by_reason = {};
};

class Prefilter {
 public:
  // `pin_dir` must lie on a bpffs; one is mounted at /sys/fs/bpf if `pin_dir` is below it and none
  // is there. Nothing else is changed yet.
  static Result<std::unique_ptr<Prefilter>> open(const std::string& pin_dir);

  // Removes what a predecessor left: its pins, and its program on every interface of this network
  // namespace. Loads nothing. Ok if there is nothing to do.
  static Status clean(const std::string& pin_dir);

  // Destruction closes descriptors and leaves the programs attached.
  ~Prefilter();
  Prefilter(const Prefilter&) = delete;
  Prefilter& operator=(const Prefilter&) = delete;

  // See the table above. Native mode if the driver has it, else generic.
  Status attach(const std::string& interface);

  // Asks the kernel whether the program that attach() left there is still the one on the interface
  // of that name: not if somebody has detached or replaced it, or the interface is another now.
  // Code::unreachable: there is no such interface. Cost: two system calls.
  Status verify(const std::string& interface) const;

  // Swaps the rules of every attached interface. A packet is judged by the old rules or by the new
  // ones, never by a mix. On failure every interface keeps (or gets back) its old rules.
  Status set_rules(const PrefilterRules& rules);

  Result<PrefilterCounters> counters(const std::string& interface) const;

  // The generation that the interface's program runs; 0: no rules yet.
  Result<uint64_t> generation(const std::string& interface) const;

  // False for an interface that is not attached, too.
  bool native(const std::string& interface) const;
  bool adopted(const std::string& interface) const;

  // For the log and `millrace status`: "native", or "generic (native refused: <why>)".
  std::string mode(const std::string& interface) const;

  // Removes the program from every interface of this network namespace that this object did not
  // attach: interfaces that a predecessor served and the configuration no longer names.
  Status detach_others();

  // Takes the program off where attach() found none before, and removes those pins. Returns the
  // interfaces that had one and keep it.
  Result<std::vector<std::string>> detach_fresh();

  // Takes every program off its interface and removes the pins, and the bpffs if open() mounted it
  // and it is empty. Goes on after an error and returns the first.
  Status detach_all();

 private:
  struct Impl;
  explicit Prefilter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::ctl
