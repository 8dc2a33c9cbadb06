// SPDX-License-Identifier: Apache-2.0
// The small parts: history, environment checks, names and records as text, processes, log limits.

#include <fcntl.h>
#include <net/if.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <thread>

#include "control/daemon/dns_text.hpp"
#include "control/daemon/environment.hpp"
#include "control/daemon/link_state.hpp"
#include "control/daemon/process.hpp"
#include "control/daemon/run_dir.hpp"
#include "control/daemon/stats_json.hpp"
#include "tests/unit/control/daemon_fixture.hpp"

namespace millrace::ctl {
namespace {

TEST(HistoryTest, KeepsTheLastTextsAndCountsOn) {
  TempDir dir;
  History history(dir.path());
  ASSERT_TRUE(history.open().ok());
  EXPECT_EQ(history.last_generation(), 0u);
  for (uint64_t i = 1; i <= History::kKept + 5; ++i) {
    ASSERT_TRUE(history.record(i * 10, "text " + std::to_string(i)).ok());
  }
  const History again(dir.path());
  EXPECT_EQ(again.generations().size(), History::kKept);
  EXPECT_EQ(again.last_generation(), (History::kKept + 5) * 10);
  EXPECT_EQ(again.text(60), "text 6");
  EXPECT_FALSE(again.text(50).has_value()) << "the oldest have gone";
}

TEST(HistoryTest, NamesTheOptionThatMovesItWhenItCannotBeMade) {
  const auto opened = History("/proc/x").open();
  EXPECT_EQ(opened.code(), Code::error);
  EXPECT_NE(opened.message().find("--state-dir"), std::string::npos) << opened.message();
}

TEST(HistoryTest, SameTextMovesToTheNewGeneration) {
  TempDir dir;
  History history(dir.path());
  ASSERT_TRUE(history.open().ok());
  ASSERT_TRUE(history.record(1, "a").ok());
  ASSERT_TRUE(history.record(2, "b").ok());
  ASSERT_TRUE(history.record(3, "b").ok());
  EXPECT_EQ(history.generations(), (std::vector<uint64_t>{1, 3}));
  write_file(dir / "history/junk.yaml", "x");
  write_file(dir / "history/.new", "half");
  EXPECT_EQ(history.last_generation(), 3u);
}

TEST(EnvironmentTest, InterfaceThatIsNotThere) {
  Config config;
  config.ports = {{"p0", "mr-none0", ""}, {"p1", "lo", ""}, {"p2", "", "net_null0"}};
  const auto findings = check_interfaces(config);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_TRUE(findings[0].fatal);
  EXPECT_NE(findings[0].text.find("mr-none0 does not exist"), std::string::npos);
}

TEST(EnvironmentTest, FewerQueuesThanWorkers) {
  Config config;
  config.dataplane.workers = 3;
  EXPECT_TRUE(check_queues(config, "p0", "va", {3, QueueState::Kind::combined}).empty());
  EXPECT_TRUE(check_queues(config, "p0", "va", {}).empty()) << "a driver that does not say";
  const auto one = check_queues(config, "p0", "va", {1, QueueState::Kind::rx_and_tx});
  ASSERT_EQ(one.size(), 1u);
  EXPECT_TRUE(one[0].fatal);
  EXPECT_NE(one[0].text.find("va has 1 receive queue,"), std::string::npos) << one[0].text;
  EXPECT_NE(one[0].text.find("`ethtool -L va rx 3 tx 3`"), std::string::npos) << one[0].text;
  const auto two = check_queues(config, "p0", "eth0", {2, QueueState::Kind::combined});
  ASSERT_EQ(two.size(), 1u);
  EXPECT_NE(two[0].text.find("`ethtool -L eth0 combined 3`"), std::string::npos) << two[0].text;
  EXPECT_EQ(queue_state("mr-none0").rx_queues, 0u);
  EXPECT_EQ(queue_state("lo").rx_queues, 1u) << "without an ethtool, by netlink";
  const auto fixed = check_queues(config, "p0", "lo", queue_state("lo"));
  ASSERT_EQ(fixed.size(), 1u);
  EXPECT_EQ(fixed[0].text.find("ethtool"), std::string::npos) << fixed[0].text;
}

TEST(LinkStateTest, IsThatOfTheKernel) {
  EXPECT_EQ(link_state("mr-none0"), LinkState::missing);
  EXPECT_NE(link_state("lo"), LinkState::missing);
  EXPECT_EQ(link_state_of(IFF_UP | IFF_RUNNING), LinkState::up);
  EXPECT_EQ(link_state_of(IFF_UP | IFF_BROADCAST), LinkState::no_carrier);
  EXPECT_EQ(link_state_of(IFF_RUNNING), LinkState::down);
  EXPECT_EQ(link_advice(LinkState::up, "va"), "");
  for (const auto state : {LinkState::no_carrier, LinkState::down, LinkState::missing}) {
    EXPECT_EQ(link_advice(state, "va").find("va "), 0u);
  }
}

TEST(EnvironmentTest, BindThatIsOnNoInterfaceIsAWarning) {
  Config config;
  config.binds = {{"here", parse_endpoint("127.0.0.1").value(), "default"},
                  {"away", parse_endpoint("198.19.255.254").value(), "default"}};
  const auto findings = check_binds(config);
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_FALSE(findings[0].fatal);
  EXPECT_NE(findings[0].text.find("binds[away]"), std::string::npos);
  EXPECT_EQ(findings[0].text.find("with a port"), std::string::npos);
  config.binds = {{"away", parse_endpoint("fd00:19::1:53").value(), "default"}};
  EXPECT_NE(check_binds(config).at(0).text.find("; with a port: \"[fd00:19::1]:53\""),
            std::string::npos);
}

TEST(EnvironmentTest, Hugepages) {
  Config config;
  resolve(config, Host::here());
  const uint64_t page = 2 << 20;
  const uint64_t needed = (hugepage_bytes_needed(config) + page - 1) / page;
  EXPECT_GT(needed, config.packet_caches[0].size_bytes / page);
  EXPECT_TRUE(check_hugepages(config, {true, page, needed, needed}).empty());
  // Others hold 100 pages: those must stay theirs.
  const auto few = check_hugepages(config, {true, page, needed + 90, needed - 10});
  ASSERT_EQ(few.size(), 1u);
  EXPECT_NE(few[0].text.find("vm.nr_hugepages=" + std::to_string(needed + 100) + "`"),
            std::string::npos)
      << few[0].text;
  EXPECT_EQ(few[0].text.find(std::to_string(needed) + " hugepages of 2 MiB needed ("), 0u)
      << few[0].text;
  const auto unmounted = check_hugepages(config, {});
  ASSERT_EQ(unmounted.size(), 1u);
  EXPECT_NE(unmounted[0].text.find("no hugetlbfs"), std::string::npos);
  config.dataplane.hugepages = false;
  EXPECT_TRUE(check_hugepages(config, {}).empty());
  EXPECT_FALSE(hugepage_state("/proc/self/nothing").mounted);
}

TEST(RunDirTest, SecondMillracedIsNamedTheFirst) {
  TempDir dir;
  std::optional<Result<RunDir>> first = RunDir::take(dir.path());
  ASSERT_TRUE(first->ok());
  const auto second = RunDir::take(dir.path());
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find("pid " + std::to_string(::getpid())),
            std::string::npos)
      << second.status().message();
  first.reset();
  EXPECT_TRUE(RunDir::take(dir.path()).ok());
}

TEST(RunDirTest, OneThatOnlyRootMayWriteToNeedsRoot) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) ::_exit(2);
    const auto taken = RunDir::take("/");
    const bool told =
        !taken.ok() && taken.status().message() ==
                           "run directory /: Permission denied; start millraced as root";
    if (!told) std::fprintf(stderr, "%s\n", taken.status().message().c_str());
    ::_exit(told ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(RunDirTest, RemovesWhatItMade) {
  TempDir parent;
  const std::string path = parent / "run";
  { ASSERT_TRUE(RunDir::take(path).ok()); }
  EXPECT_FALSE(std::filesystem::exists(path));
  {
    const auto dir = RunDir::take(path);
    EXPECT_FALSE(RunDir::take(path).ok());
    EXPECT_TRUE(std::filesystem::exists(path + "/millraced.lock")) << "the refused one took it";
    write_file(path + "/dataplane.sock", "");
  }
  EXPECT_TRUE(std::filesystem::exists(path + "/dataplane.sock")) << "somebody still uses it";
  EXPECT_FALSE(std::filesystem::exists(path + "/millraced.lock"));
  std::filesystem::remove(path + "/dataplane.sock");
  { ASSERT_TRUE(RunDir::take(path).ok()); }
  EXPECT_TRUE(std::filesystem::exists(path)) << "it was there before";
}

// Whoever waits for the lock of one that ends must not hold a lock that nobody else can see.
TEST(RunDirTest, TakersAndEndersNeverShareIt) {
  TempDir parent;
  const std::string path = parent / "run";
  std::atomic<int> holders{0};
  std::atomic<int> taken{0};
  std::atomic<bool> shared{false};
  const auto take_often = [&] {
    for (int i = 0; i < 2000; ++i) {
      const auto dir = RunDir::take(path);
      if (!dir.ok()) continue;
      if (holders.fetch_add(1) != 0) shared = true;
      ++taken;
      std::this_thread::yield();
      holders.fetch_sub(1);
    }
  };
  std::vector<std::thread> takers;
  for (int i = 0; i < 4; ++i)
    takers.emplace_back(take_often);
  for (auto& taker : takers)
    taker.join();
  EXPECT_FALSE(shared);
  EXPECT_GT(taken, 0);
}

TEST(DnsTextTest, NamesAndTypes) {
  const auto name = wire_name("www.Example.org");
  ASSERT_TRUE(name.ok());
  EXPECT_EQ(name.value().size(), 17u);
  EXPECT_EQ(name_text(name.value()), "www.Example.org.");
  EXPECT_EQ(wire_name(".").value(), std::vector<uint8_t>{0});
  EXPECT_EQ(wire_name("a\\.b.c").value()[0], 3);
  for (const std::string& bad : {std::string(), std::string("a..b"), std::string(64, 'x'),
                                 std::string(300, 'x'), std::string("a\0b", 3)}) {
    EXPECT_EQ(wire_name(bad).status().code(), Code::usage) << bad;
  }
  EXPECT_EQ(record_type("aaaa").value(), 28);
  EXPECT_EQ(record_type("TYPE65535").value(), 65535);
  for (const std::string& bad :
       {std::string(), std::string("TYPE0"), std::string("TYPE65536"), std::string("TYPE1x"),
        std::string("NOPE"), std::string("A\0B", 3)}) {
    EXPECT_FALSE(record_type(bad).ok()) << bad;
  }
}

abi::CacheRow row_of(std::initializer_list<uint8_t> body, uint16_t an_cnt) {
  abi::CacheRow row{};
  row.qtype = 16;
  row.an_cnt = an_cnt;
  row.lifetime_s = 100;
  row.ttl_s = 30;
  row.body_bytes = static_cast<uint16_t>(body.size());
  std::copy(body.begin(), body.end(), row.body);
  return row;
}

TEST(DnsTextTest, RecordsOfARow) {
  const auto name = wire_name("a.test").value();
  const auto row = cache_row_json(row_of({0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 100, 0, 3, 2, 'h', 'i',
                                          0xc0, 14, 0xff, 0, 0, 1, 0, 0, 0, 60, 0, 2, 7, 8},
                                         2),
                                  name);
  ASSERT_EQ(row["records"].size(), 2u);
  EXPECT_EQ(row["records"][0]["rdata"], "\"hi\"");
  EXPECT_EQ(row["records"][0]["ttl"], 30) << "70 s have passed";
  EXPECT_EQ(row["records"][1]["name"], "test.");
  EXPECT_EQ(row["records"][1]["ttl"], 0) << "never below zero";
  EXPECT_EQ(row["records"][1]["type"], "TYPE65280");
  EXPECT_EQ(row["records"][1]["rdata"], "\\# 2 0708");
  EXPECT_EQ(row["complete"], true);
  EXPECT_EQ(row["stale"], nullptr);
}

TEST(DnsTextTest, RecordsOfARowPastItsTimeHaveNoneLeft) {
  auto past = row_of({0xc0, 12, 0, 16, 0, 1, 0, 0, 1, 44, 0, 3, 2, 'h', 'i'}, 1);
  past.ttl_s = 0;
  past.stale_s = 50;
  const auto row = cache_row_json(past, wire_name("a.test").value());
  EXPECT_EQ(row["records"].at(0)["ttl"], 0) << "though it came with more than the lifetime";
  EXPECT_EQ(row["stale"], 50);
}

TEST(DnsTextTest, ClientsOfARow) {
  const auto name = wire_name("a.test").value();
  abi::CacheRow row{};
  const auto subnet = [&] { return cache_row_json(row, name)["client_subnet"]; };
  EXPECT_EQ(subnet(), nullptr);
  row.subnet_family = 2;
  row.subnet_bits = 49;
  row.subnet_scope = 56;
  row.subnet_exact = 1;
  std::copy_n("\xfd\0\0\x18\0\1\x80", 7, row.subnet);
  EXPECT_EQ(subnet()["prefix"], "fd00:18:1:8000::/49");
  EXPECT_EQ(subnet()["scope"], 56);
  EXPECT_EQ(subnet()["exact"], true);
  row = {};
  row.subnet_family = 1;
  EXPECT_EQ(subnet()["prefix"], "0.0.0.0/0");
  EXPECT_EQ(subnet()["exact"], false);
}

TEST(DnsTextTest, BodyThatWasCutIsReadAsFarAsItGoes) {
  const auto name = wire_name("a.test").value();
  const auto cut = cache_row_json(
      row_of({0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 100, 0, 3, 2, 'h', 'i', 0xc0, 12, 0, 16, 0}, 2),
      name);
  EXPECT_EQ(cut["records"].size(), 1u);
  EXPECT_EQ(cut["complete"], false);
  const auto looping = cache_row_json(row_of({0xc0, 24, 0, 16, 0, 1, 0, 0, 0, 1, 0, 0}, 1), name);
  EXPECT_EQ(looping["records"].size(), 0u);
}

TEST(DnsTextTest, NameOfARowIsCheckedBeforeItIsRead) {
  abi::CacheRow row{};
  const auto take = [&row](const std::vector<uint8_t>& bytes) {
    row.name_bytes = static_cast<uint8_t>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), row.name);
    const auto name = name_of_row(row);
    return name.ok() ? name_text(name.value()) : "none";
  };
  EXPECT_EQ(take({0}), ".");
  EXPECT_EQ(take({1, 'a', 4, 't', 'e', 's', 't', 0}), "a.test.");
  EXPECT_EQ(take({}), "none");
  EXPECT_EQ(take({1, 'a'}), "none") << "no root label";
  EXPECT_EQ(take({1, 'a', 0, 0}), "none") << "more after the root label";
  EXPECT_EQ(take({9, 'a', 0}), "none") << "a label longer than the name";
  EXPECT_EQ(take({0xc0, 12}), "none") << "a pointer";
  EXPECT_EQ(take(std::vector<uint8_t>(255, 63)), "none");
}

TEST(ProcessTest, TellsHowItEnded) {
  TempDir dir;
  SpawnRequest request{"/bin/sh", {"-c", "echo last words >&2; exit 3"}, -1, 3, dir / "log"};
  auto process = Process::spawn(request);
  ASSERT_TRUE(process.ok());
  EventLoop loop;
  ASSERT_TRUE(loop.run_until([&] { return !process.value().running(); },
                             std::chrono::milliseconds(3000)));
  EXPECT_EQ(process.value().reap(), "exit status 3");
  EXPECT_EQ(tail_lines(dir / "log", 5), std::vector<std::string>{"last words"});
  EXPECT_FALSE(Process::spawn({dir / "nothing", {}, -1, 3, {}}).ok());
}

TEST(ProcessTest, InheritsOneDescriptorAndNoOther) {
  TempDir dir;
  write_file(dir / "in", "handed over");
  UniqueFd given(::open((dir / "in").c_str(), O_RDONLY | O_CLOEXEC));
  UniqueFd leaking(::dup(given.get()));  // without close-on-exec
  auto process = Process::spawn(
      {"/bin/sh", {"-c", "cat <&3; ls /proc/self/fd | wc -l"}, given.get(), 3, dir / "log"});
  ASSERT_TRUE(process.ok());
  EventLoop loop;
  ASSERT_TRUE(loop.run_until([&] { return !process.value().running(); },
                             std::chrono::milliseconds(3000)));
  process.value().reap();
  // 0, 1, 2, 3 and the directory that ls reads.
  EXPECT_EQ(read_file(dir / "log"), "handed over5\n");
}

TEST(ProcessTest, StartTicksNameAProcess) {
  const auto ticks = process_start_ticks(::getpid());
  ASSERT_TRUE(ticks.has_value());
  EXPECT_EQ(ticks, process_start_ticks(::getpid()));
  EXPECT_NE(ticks, process_start_ticks(1));
  EXPECT_FALSE(process_start_ticks(0x7ffffff0).has_value());
}

TEST(LogLimitTest, CountsWhatItLeavesOut) {
  log::Limit limit(2, std::chrono::seconds(10));
  const auto begin = log::Limit::Clock::now();
  std::string line = "x";
  EXPECT_TRUE(limit.admit(line, begin));
  EXPECT_TRUE(limit.admit(line, begin));
  EXPECT_FALSE(limit.admit(line, begin));
  EXPECT_FALSE(limit.admit(line, begin));
  EXPECT_TRUE(limit.admit(line, begin + std::chrono::seconds(11)));
  EXPECT_EQ(line, "x (2 like it left out)");
}

TEST(StatsJsonTest, IdentityThatDoesNotHoldIsSaid) {
  auto area = std::make_unique<abi::StatsArea>();
  area->workers = 2;
  area->cores[0].rx_packets.store(5);
  area->cores[0].outcomes[0].store(4);
  area->cores[1].rx_packets.store(4);
  area->cores[1].outcomes[0].store(5);
  const auto made = stats_json(*area, {});
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made.value()["identity"]["rx"], made.value()["identity"]["sum"]);
  EXPECT_EQ(made.value()["identity"]["holds"], false) << "judged core by core";
  area->cores[1].sequence.store(1);
  EXPECT_FALSE(stats_json(*area, {}).ok()) << "a core that died while it published";
}

TEST(EventLoopTest, CallbackMayRemoveTheOtherWatch) {
  EventLoop loop;
  UniqueFd a(::eventfd(1, 0)), b(::eventfd(1, 0));
  int calls = 0;
  const auto remove_both = [&](uint32_t) {
    ++calls;
    loop.unwatch(a.get());
    loop.unwatch(b.get());
  };
  loop.watch(a.get(), EPOLLIN, remove_both);
  loop.watch(b.get(), EPOLLIN, remove_both);
  loop.run_until([] { return false; }, std::chrono::milliseconds(50));
  EXPECT_EQ(calls, 1);
}

TEST(EventLoopTest, TimersRunInOrderAndCanBeCancelled) {
  EventLoop loop;
  std::string order;
  auto cancelled = loop.after(std::chrono::milliseconds(5), [&] { order += 'x'; });
  loop.after(std::chrono::milliseconds(20), [&] { order += 'b'; });
  loop.after(std::chrono::milliseconds(1), [&] { order += 'a'; loop.cancel(cancelled); });
  ASSERT_TRUE(loop.run_until([&] { return order.size() == 2; }, std::chrono::milliseconds(2000)));
  EXPECT_EQ(order, "ab");
}

}  // namespace
}  // namespace millrace::ctl
