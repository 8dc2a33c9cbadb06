// SPDX-License-Identifier: Apache-2.0
// Aim: whatever a predecessor, an older version or somebody else left on an interface, attach()
// does what the table in control/xdp/prefilter.hpp says, loses no packet and leaves nothing behind.
// Method: the situations are made for real, with other programs, other processes and kill -9.

#include <bpf/bpf.h>
#include <chrono>
#include <filesystem>
#include <foreign.skel.h>
#include <functional>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <old_prefilter.skel.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "tests/bpf/bpf_bench.hpp"

namespace millrace::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace fs = std::filesystem;

const std::string kPins = std::string(kPinDir) + "/v3/";

std::unique_ptr<ctl::Prefilter> open_prefilter() {
  auto opened = ctl::Prefilter::open(kPinDir);
  EXPECT_TRUE(opened.ok()) << opened.status().message();
  return std::move(opened).value();
}

void expect_ok(const ctl::Status& status) { EXPECT_TRUE(status.ok()) << status.message(); }

uint32_t xsks_id(const std::string& interface) {
  const auto program = ctl::describe_program(program_on(interface).get());
  return program.value().map(ctl::kXsksName)->id;
}

// Runs `work` in a child that then dies as kill -9 makes it die; `work` may block for ever.
class Child {
 public:
  explicit Child(const std::function<void()>& work) {
    int ready[2];
    if (::pipe(ready) != 0) throw std::runtime_error("pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      work();
      [[maybe_unused]] const ssize_t written = ::write(ready[1], "x", 1);
      for (;;) ::pause();
    }
    char byte = 0;
    ::close(ready[1]);
    ok_ = ::read(ready[0], &byte, 1) == 1;
    ::close(ready[0]);
  }
  ~Child() { kill(); }

  bool ok() const { return ok_; }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  bool ok_ = false;
};

class Attach : public ::testing::Test {
 protected:
  void TearDown() override {
    prefilter_.reset();
    expect_ok(ctl::Prefilter::clean(kPinDir));
    EXPECT_EQ(program_id(wire_.a), 0u);
    EXPECT_FALSE(fs::exists(kPinDir));
  }

  void attach() {
    prefilter_ = open_prefilter();
    expect_ok(prefilter_->attach(wire_.a));
  }

  // The program and link of another object file, attached the way millraced attaches its own.
  ctl::Fd attach_other(int program_fd) {
    auto attempt = ctl::create_link(program_fd, interface_index(wire_.a));
    EXPECT_TRUE(attempt.ok()) << attempt.status().message();
    return std::move(attempt.value().link);
  }

  VethPair wire_{"mra0", "mra1"};
  std::unique_ptr<ctl::Prefilter> prefilter_;
};

TEST_F(Attach, FreshIsNativeAndPinned) {
  attach();
  EXPECT_TRUE(prefilter_->native(wire_.a));
  EXPECT_EQ(prefilter_->mode(wire_.a), "native");
  EXPECT_FALSE(prefilter_->adopted(wire_.a));
  for (const char* pin : {"link", "xsks_map", "mr_rules", "mr_counters"})
    EXPECT_TRUE(fs::exists(kPins + wire_.a + "/" + pin)) << pin;
  EXPECT_NE(program_id(wire_.a), 0u);

  expect_ok(prefilter_->detach_all());
  EXPECT_EQ(program_id(wire_.a), 0u);
  EXPECT_FALSE(fs::exists(kPinDir));
  EXPECT_EQ(prefilter_->mode(wire_.a), "not attached");
}

TEST_F(Attach, DriverWithoutXdpGetsGenericMode) {
  prefilter_ = open_prefilter();
  expect_ok(prefilter_->attach("lo"));
  EXPECT_FALSE(prefilter_->native("lo"));
  EXPECT_THAT(prefilter_->mode("lo"), StartsWith("generic (native refused: "));
  EXPECT_NE(program_id("lo"), 0u);
  prefilter_.reset();
  prefilter_ = open_prefilter();
  expect_ok(prefilter_->attach("lo"));
  EXPECT_TRUE(prefilter_->adopted("lo"));
  EXPECT_EQ(prefilter_->mode("lo"), "generic");
  expect_ok(prefilter_->detach_all());
  EXPECT_EQ(program_id("lo"), 0u);
}

TEST_F(Attach, NameWithADotIsPinned) {
  const VethPair dotted("mr.x", "mr.y");
  prefilter_ = open_prefilter();
  expect_ok(prefilter_->attach(dotted.a));
  EXPECT_TRUE(fs::exists(kPins + "mr:x/link"));
  expect_ok(prefilter_->detach_all());
}

TEST_F(Attach, InterfacesHaveMapsOfTheirOwn) {
  const VethPair second("mrb0", "mrb1");
  attach();
  expect_ok(prefilter_->attach(second.a));
  EXPECT_NE(xsks_id(wire_.a), xsks_id(second.a));
  EXPECT_NE(program_id(wire_.a), program_id(second.a));
  expect_ok(prefilter_->detach_all());
  EXPECT_EQ(program_id(second.a), 0u);
}

TEST_F(Attach, UnknownInterfaceIsAnError) {
  prefilter_ = open_prefilter();
  EXPECT_THAT(prefilter_->attach("nosuch0").message(), HasSubstr("'nosuch0' does not exist"));
}

TEST_F(Attach, SuccessorAdoptsEverything) {
  attach();
  expect_ok(prefilter_->set_rules({.services = {address_of("198.18.0.53", 53)}, .generation = 4}));
  run_program(program_on(wire_.a).get(), FrameBuilder().build());
  const uint32_t program = program_id(wire_.a);
  prefilter_.reset();
  ASSERT_EQ(program_id(wire_.a), program) << "the pins keep it";

  attach();
  EXPECT_TRUE(prefilter_->adopted(wire_.a));
  EXPECT_TRUE(prefilter_->native(wire_.a));
  EXPECT_EQ(program_id(wire_.a), program);
  EXPECT_EQ(prefilter_->generation(wire_.a).value(), 4u);
  EXPECT_EQ(counter(*prefilter_, wire_.a, "passed_no_socket"), 1u);
}

TEST_F(Attach, AttachingTwiceChangesNothing) {
  attach();
  const uint32_t program = program_id(wire_.a);
  expect_ok(prefilter_->attach(wire_.a));
  EXPECT_EQ(program_id(wire_.a), program);
}

TEST_F(Attach, KilledPredecessorIsAdopted) {
  Child predecessor([&] { attach(); });
  ASSERT_TRUE(predecessor.ok());
  predecessor.kill();
  const uint32_t program = program_id(wire_.a);
  ASSERT_NE(program, 0u);
  attach();
  EXPECT_TRUE(prefilter_->adopted(wire_.a));
  EXPECT_EQ(program_id(wire_.a), program);
}

TEST_F(Attach, KilledPredecessorIsCleaned) {
  Child predecessor([&] { attach(); });
  ASSERT_TRUE(predecessor.ok());
  predecessor.kill();
  ASSERT_NE(program_id(wire_.a), 0u);
  expect_ok(ctl::Prefilter::clean(kPinDir));
  EXPECT_EQ(program_id(wire_.a), 0u);
  EXPECT_FALSE(fs::exists(kPinDir));
}

// As under `ip netns exec`: the pins lie on a bpffs that only the predecessor's processes see.
void enter_private_bpffs() {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("bpf", "/sys/fs/bpf", "bpf", 0, nullptr) != 0)
    ::_exit(1);
}

TEST_F(Attach, AdoptsWhatIsPinnedOutOfSight) {
  Child predecessor([&] {
    enter_private_bpffs();
    attach();
  });
  ASSERT_TRUE(predecessor.ok());
  const uint32_t program = program_id(wire_.a);
  ASSERT_NE(program, 0u);
  ASSERT_FALSE(fs::exists(kPins + wire_.a));
  attach();
  EXPECT_TRUE(prefilter_->adopted(wire_.a));
  EXPECT_TRUE(fs::exists(kPins + wire_.a + "/link"));
  predecessor.kill();  // its bpffs goes, and with it its pins
  EXPECT_EQ(program_id(wire_.a), program);
  expect_ok(prefilter_->detach_all());
  EXPECT_EQ(program_id(wire_.a), 0u);
}

TEST_F(Attach, DetachesAndCleansWhatIsPinnedOutOfSight) {
  Child predecessor([&] {
    enter_private_bpffs();
    attach();
  });
  ASSERT_TRUE(predecessor.ok());
  attach();
  expect_ok(prefilter_->detach_all());
  EXPECT_EQ(program_id(wire_.a), 0u) << "the predecessor still holds its link";

  Child another([&] {
    enter_private_bpffs();
    attach();
  });
  ASSERT_NE(program_id(wire_.a), 0u);
  expect_ok(ctl::Prefilter::clean(kPinDir));
  EXPECT_EQ(program_id(wire_.a), 0u);
}

TEST_F(Attach, CleanIsFineWithNothingThere) { expect_ok(ctl::Prefilter::clean(kPinDir)); }

TEST_F(Attach, OldVersionIsReplacedAroundItsSockets) {
  old_prefilter* old = old_prefilter::open_and_load();
  ASSERT_NE(old, nullptr);
  {
    prefilter_ = open_prefilter();  // mounts the bpffs
    const ctl::Fd link = attach_other(bpf_program__fd(old->progs.xsk_def_prog));
    fs::create_directories(std::string(kPinDir) + "/v0/" + wire_.a);
    expect_ok(ctl::pin_object(link.get(), std::string(kPinDir) + "/v0/" + wire_.a + "/link"));
  }
  old_prefilter::destroy(old);
  const uint32_t program = program_id(wire_.a);
  const uint32_t sockets = xsks_id(wire_.a);
  ASSERT_NE(program, 0u);

  expect_ok(prefilter_->attach(wire_.a));
  EXPECT_TRUE(prefilter_->adopted(wire_.a));
  EXPECT_NE(program_id(wire_.a), program);
  EXPECT_EQ(xsks_id(wire_.a), sockets);
  EXPECT_FALSE(fs::exists(std::string(kPinDir) + "/v0"));
  EXPECT_EQ(prefilter_->generation(wire_.a).value(), 0u);
  EXPECT_EQ(counter(*prefilter_, wire_.a, "passed_no_rules"), 0u);
}

TEST_F(Attach, OldSocketMapThatDoesNotFitIsNotAdopted) {
  old_prefilter* old = old_prefilter::open();
  ASSERT_NE(old, nullptr);
  ASSERT_EQ(bpf_map__set_max_entries(old->maps.xsks_map, 16), 0);
  ASSERT_EQ(old_prefilter::load(old), 0);
  const ctl::Fd link = attach_other(bpf_program__fd(old->progs.xsk_def_prog));
  old_prefilter::destroy(old);
  const uint32_t sockets = xsks_id(wire_.a);
  attach();
  EXPECT_FALSE(prefilter_->adopted(wire_.a));
  EXPECT_NE(xsks_id(wire_.a), sockets);
}

// The words between the backquotes are what the operator will type.
std::string remedy_in(const std::string& message) {
  const std::size_t first = message.find('`');
  return message.substr(first + 1, message.find('`', first + 1) - first - 1);
}

class Foreign : public Attach, public ::testing::WithParamInterface<const char*> {};

TEST_P(Foreign, ProgramIsNamedAndLeftAlone) {
  const std::string how = GetParam();
  foreign* other = foreign::open_and_load();
  ASSERT_NE(other, nullptr);
  const int program_fd = bpf_program__fd(other->progs.somebody_else);
  ctl::Fd link;
  if (how == "Link") {
    link = attach_other(program_fd);
  } else {
    const uint32_t mode = how == "Native" ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
    ASSERT_EQ(bpf_xdp_attach(interface_index(wire_.a), program_fd, mode, nullptr), 0);
  }
  foreign::destroy(other);
  const uint32_t program = program_id(wire_.a);

  prefilter_ = open_prefilter();
  const ctl::Status status = prefilter_->attach(wire_.a);
  EXPECT_EQ(status.code(), ctl::Code::error);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("somebody_else"), HasSubstr(wire_.a),
                                      HasSubstr(std::to_string(program))));
  expect_ok(prefilter_->detach_others());
  expect_ok(prefilter_->detach_all());
  expect_ok(ctl::Prefilter::clean(kPinDir));
  EXPECT_EQ(program_id(wire_.a), program);

  shell(remedy_in(status.message()));
  EXPECT_EQ(program_id(wire_.a), 0u);
  attach();
}

INSTANTIATE_TEST_SUITE_P(Prefilter, Foreign, ::testing::Values("Native", "Generic", "Link"),
                         [](const auto& row) { return std::string(row.param); });

TEST_F(Attach, InterfacesNoLongerServedAreReleased) {
  const VethPair second("mrb0", "mrb1");
  attach();
  expect_ok(prefilter_->attach(second.a));
  prefilter_.reset();
  attach();
  ASSERT_NE(program_id(second.a), 0u);
  expect_ok(prefilter_->detach_others());
  EXPECT_EQ(program_id(second.a), 0u);
  EXPECT_FALSE(fs::exists(kPins + second.a));
  EXPECT_NE(program_id(wire_.a), 0u);
  EXPECT_TRUE(fs::exists(kPins + wire_.a + "/link"));
}

TEST_F(Attach, InterfaceMadeAnewIsAttachedAnew) {
  attach();
  shell("ip link del " + wire_.a);
  shell("ip link add " + wire_.a + " type veth peer name " + wire_.b);
  shell("ip link set " + wire_.a + " up && ip link set " + wire_.b + " up");
  EXPECT_EQ(program_id(wire_.a), 0u);
  expect_ok(prefilter_->attach(wire_.a));
  EXPECT_FALSE(prefilter_->adopted(wire_.a));
  EXPECT_NE(program_id(wire_.a), 0u);
}

TEST_F(Attach, WhatWasTakenAwayIsNoticed) {
  attach();
  expect_ok(prefilter_->verify(wire_.a));
  const auto link = ctl::find_link(interface_index(wire_.a), program_id(wire_.a));
  ASSERT_EQ(bpf_link_detach(link.value().get()), 0);
  EXPECT_THAT(prefilter_->verify(wire_.a).message(), HasSubstr("was detached"));
  attach();
  expect_ok(prefilter_->verify(wire_.a));
  {
    const VethPair short_lived("mrc0", "mrc1");
    expect_ok(prefilter_->attach(short_lived.a));
    expect_ok(prefilter_->verify(short_lived.a));
  }
  EXPECT_EQ(prefilter_->verify("mrc0").code(), ctl::Code::unreachable);
  const VethPair again("mrc0", "mrc1");
  EXPECT_THAT(prefilter_->verify("mrc0").message(), HasSubstr("created again"));
  expect_ok(prefilter_->attach("mrc0"));
  expect_ok(prefilter_->verify("mrc0"));
  expect_ok(prefilter_->detach_all());
}

TEST(PinFolder, IsCheckedBeforeAnythingIsDone) {
  const auto message = [](const char* path) {
    auto opened = ctl::Prefilter::open(path);
    EXPECT_FALSE(opened.ok()) << path;
    EXPECT_EQ(opened.status().code(), ctl::Code::error) << path;
    return opened.status().message();
  };
  EXPECT_THAT(message("millrace"), HasSubstr("absolute path"));
  EXPECT_THAT(message("/sys/fs/bpf/../bpf/x"), HasSubstr("absolute path"));
  EXPECT_THAT(message("/run/millrace-pins"), HasSubstr("not on a bpffs"));
  EXPECT_FALSE(fs::exists("/run/millrace-pins"));
}

TEST(PinFolder, BpffsThatWasMountedIsUnmounted) {
  const auto mounted = [] {
    struct statfs info = {};
    return ::statfs("/sys/fs/bpf", &info) == 0 && info.f_type == BPF_FS_MAGIC;
  };
  // A predecessor that was killed leaves its mount to its successors.
  if (mounted()) {
    ASSERT_EQ(::umount2("/sys/fs/bpf", 0), 0);
  }
  const auto prefilter = open_prefilter();
  EXPECT_TRUE(mounted());
  expect_ok(prefilter->detach_all());
  EXPECT_FALSE(mounted());
}

}  // namespace
}  // namespace millrace::test
