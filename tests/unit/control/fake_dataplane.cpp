// SPDX-License-Identifier: Apache-2.0
// A data plane without packets: speaks the control protocol as millrace-dataplane does.
//
// What it should get wrong stands in <run-dir>/fake, words separated by blanks:
//     exit-at-start   says why on stderr and ends with status 7
//     exit-with-8192-buffers, exit-at-start-on-vb   the same with such a config only
//     no-socket       lives, but never listens
//     no-socket-with-8192-buffers   the same with such a config only
//     stubborn        ignores `stop` and SIGTERM
//     reject          refuses every config after the first
//     config-timeout  says that a core did not pass
//     mute            does not answer install_config at all
//     silent-core-0   answers, but that core publishes no more
//     stuck-core-0    says that this core does not turn, and that memory waits for it
//     between-configs   has a core that runs none yet
//     silent-backend-0   says that this one is down
//     stale           has the time of a row over
//     nameless        leaves the name out of a row
// What it was asked is appended to <run-dir>/fake.log, one line a request.

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "dataplane/abi/control_protocol.hpp"
#include "dataplane/abi/routes_image.hpp"
#include "dataplane/snapshot/config_attach.hpp"

namespace {

using namespace millrace;

struct Fake {
  std::string run_dir;
  abi::ConfigImage config{};
  uint64_t boot = 0;
  uint64_t routes = 0;
  abi::StatsArea* stats = nullptr;
  int stats_fd = -1;
  int listener = -1;
  int peer = -1;

  bool told(const char* word) const {
    std::ifstream file(run_dir + "/fake");
    for (std::string have; file >> have;) {
      if (have == word) return true;
    }
    return false;
  }

  void note(const std::string& line) const {
    std::ofstream(run_dir + "/fake.log", std::ios::app) << line << '\n';
  }
};

template <class Image>
bool read_image(int fd, Image& image) {
  return ::pread(fd, static_cast<void*>(&image), sizeof image, 0) == sizeof image;
}

void make_stats(Fake& fake) {
  fake.stats_fd = ::memfd_create("fake-stats", MFD_CLOEXEC);
  if (::ftruncate(fake.stats_fd, sizeof(abi::StatsArea)) != 0) std::abort();
  void* at = ::mmap(nullptr, sizeof(abi::StatsArea), PROT_READ | PROT_WRITE, MAP_SHARED,
                    fake.stats_fd, 0);
  fake.stats = new (at) abi::StatsArea();
  fake.stats->magic = abi::kStatsMagic;
  fake.stats->abi_version = abi::kAbiVersion;
  fake.stats->workers = fake.config.boot.workers;
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  fake.stats->started_boot_ns =
      static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void run_generation(Fake& fake) {
  fake.stats->cores[fake.stats->workers].generation.store(fake.config.header.generation);
  for (uint32_t i = 0; i < fake.stats->workers; ++i) {
    fake.stats->cores[i].generation.store(fake.config.header.generation);
    // Seven packets: four hits, three misses of which one waits.
    fake.stats->cores[i].rx_packets.store(7);
    fake.stats->cores[i].outcomes[static_cast<std::size_t>(abi::Outcome::hit)].store(4);
    fake.stats->cores[i].outcomes[static_cast<std::size_t>(abi::Outcome::miss)].store(3);
    fake.stats->cores[i].events[static_cast<std::size_t>(abi::Event::waiter_answered)].store(2);
    fake.stats->cores[i].waiters.store(1);
    fake.stats->cores[i].entries.store(1);
    fake.stats->backends[i][0].up.store(1);
  }
  if (!fake.told("stuck-core-0")) return;
  fake.stats->watch[0].stuck_since_ns.store(fake.stats->started_boot_ns);
  fake.stats->watch[0].cpu = 5;
  fake.stats->cores[0].memory_retired.store(8192);
  fake.stats->cores[0].events[static_cast<std::size_t>(abi::Event::cache_no_memory)].store(3);
}

void send_packet(Fake& fake, const void* bytes, std::size_t len, int fd = -1) {
  iovec part{const_cast<void*>(bytes), len};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  ::sendmsg(fake.peer, &message, MSG_NOSIGNAL);
}

abi::Reply reply_to(const abi::Request& request, abi::ReplyCode code, const char* text) {
  abi::Reply reply{};
  reply.abi_version = abi::kAbiVersion;
  reply.code = code;
  reply.sequence = request.sequence;
  std::strncpy(reply.text, text, sizeof reply.text - 1);
  return reply;
}

void install_config(Fake& fake, const abi::Request& request, int fd) {
  abi::ConfigImage image{};
  const bool whole = fd >= 0 && read_image(fd, image);
  const std::string wrong = whole ? snapshot::verify_config(&image, sizeof image) : "no image";
  fake.note("config " + std::to_string(image.header.generation));
  if (fake.told("mute")) return;
  auto reply = reply_to(request, abi::ReplyCode::ok, "");
  if (!wrong.empty() || fake.told("reject")) {
    reply = reply_to(request, abi::ReplyCode::rejected, wrong.empty() ? "told so" : wrong.c_str());
  } else if (fake.told("config-timeout")) {
    reply = reply_to(request, abi::ReplyCode::timed_out, "core 1 did not pass");
  } else if (snapshot::boot_checksum(image) != fake.boot) {
    reply = reply_to(request, abi::ReplyCode::needs_restart, "boot section differs");
  } else {
    fake.config = image;
    run_generation(fake);
  }
  send_packet(fake, &reply, sizeof reply);
}

void install_routes(Fake& fake, const abi::Request& request, int fd) {
  abi::RoutesImage image{};
  const bool whole = fd >= 0 && read_image(fd, image);
  const std::string wrong =
      whole ? snapshot::verify_routes(&image, sizeof image, fake.config) : "no image";
  fake.note("routes " + std::to_string(image.header.generation) + " for " +
            std::to_string(image.config_generation) + " usable " +
            std::to_string(image.hop[0].usable) + (wrong.empty() ? "" : " refused: " + wrong));
  if (wrong.empty()) fake.routes = image.header.generation;
  const auto reply = reply_to(
      request, wrong.empty() ? abi::ReplyCode::ok : abi::ReplyCode::rejected, wrong.c_str());
  send_packet(fake, &reply, sizeof reply);
}

// Of more than one socket the others are lost: the buffer for descriptors has room for one.
void install_sockets(Fake& fake, const abi::Request& request, int fd) {
  fake.note(fd < 0 ? "no sockets" : "sockets");
  const auto reply = reply_to(request, abi::ReplyCode::ok, "");
  send_packet(fake, &reply, sizeof reply);
}

// One A record, stored 40 s ago with a TTL of 300 s.
void fill_row(abi::CacheRow& row, std::span<const uint8_t> name) {
  static constexpr uint8_t kBody[] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 198, 18, 1, 1};
  row.qtype = 1;
  row.ttl_s = 260;
  row.lifetime_s = 300;
  row.an_cnt = 1;
  row.flag_do = 1;
  row.name_bytes = static_cast<uint8_t>(name.size());
  std::copy(name.begin(), name.end(), row.name);
  row.body_bytes = sizeof kBody;
  std::memcpy(row.body, kBody, sizeof kBody);
}

// That record for whatever name is asked; of a suffix for www below it, too.
void cache(Fake& fake, const abi::CacheQuery& query) {
  static abi::CacheReply reply;
  reply = {};
  reply.reply = reply_to(query.request, abi::ReplyCode::ok, "");
  fake.note((query.request.op == abi::Op::cache_flush ? "flush match " : "lookup match ") +
            std::to_string(static_cast<int>(query.match)) + " bytes " +
            std::to_string(query.name_bytes) + " type " + std::to_string(query.qtype) +
            " negative " + std::to_string(query.negative_only));
  if (query.request.op == abi::Op::cache_flush) {
    reply.removed = fake.told("single") ? 1 : 5;
  } else if (!fake.told("nothing")) {
    reply.rows = reply.rows_total = query.match == abi::NameMatch::suffix ? 2 : 1;
    fill_row(reply.row[0], {query.name, query.name_bytes});
    if (fake.told("stale")) {
      reply.row[0].ttl_s = 0;
      reply.row[0].stale_s = 86'390;
    }
    if (fake.told("subnet")) {
      abi::CacheRow& row = reply.row[0];
      row.subnet_family = 1;
      row.subnet_bits = row.subnet_scope = 24;
      row.subnet_exact = fake.told("exact");
      std::memcpy(row.subnet, "\xc6\x12\x05", 3);
    }
    if (reply.rows == 2) {
      std::vector<uint8_t> below{3, 'w', 'w', 'w'};
      below.insert(below.end(), query.name, query.name + query.name_bytes);
      fill_row(reply.row[1], below);
      if (fake.told("nameless")) reply.row[1].name_bytes = 0;
    }
  }
  send_packet(fake, &reply, sizeof reply);
}

void advance(Fake& fake, const abi::ClockRequest& request) {
  fake.note("advance " + std::to_string(request.by_ns));
  const auto reply = reply_to(request.request, abi::ReplyCode::ok, "");
  send_packet(fake, &reply, sizeof reply);
}

void hello(Fake& fake, const abi::Request& request) {
  abi::HelloReply reply{};
  reply.reply = reply_to(request, abi::ReplyCode::ok, "");
  reply.pid = static_cast<uint32_t>(::getpid());
  reply.workers = fake.stats->workers;
  reply.config_generation = fake.config.header.generation;
  reply.routes_generation = fake.routes;
  reply.boot_checksum = fake.boot;
  fake.note("hello");
  send_packet(fake, &reply, sizeof reply, fake.stats_fd);
}

// False: the end.
bool serve_one(Fake& fake) {
  union {
    abi::Request request;
    abi::CacheQuery query;
    abi::SocketsRequest sockets;
    abi::ClockRequest clock;
  } packet;
  std::memset(&packet, 0, sizeof packet);
  iovec part{&packet, sizeof packet};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(fake.peer, &message, 0) <= 0) {
    ::close(fake.peer);
    fake.peer = -1;
    return true;
  }
  int fd = -1;
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  }
  bool go_on = true;
  switch (packet.request.op) {
    case abi::Op::hello: hello(fake, packet.request); break;
    case abi::Op::install_config: install_config(fake, packet.request, fd); break;
    case abi::Op::install_routes: install_routes(fake, packet.request, fd); break;
    case abi::Op::cache_lookup:
    case abi::Op::cache_flush: cache(fake, packet.query); break;
    case abi::Op::install_sockets: install_sockets(fake, packet.request, fd); break;
    case abi::Op::advance_clock: advance(fake, packet.clock); break;
    case abi::Op::stop:
      fake.note("stop");
      if (fake.told("stubborn")) break;
      go_on = false;
      const auto reply = reply_to(packet.request, abi::ReplyCode::ok, "");
      send_packet(fake, &reply, sizeof reply);
  }
  if (fd >= 0) ::close(fd);
  return go_on;
}

void listen_in(Fake& fake) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fake.run_dir + "/dataplane.sock";
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  fake.listener = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (::bind(fake.listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fake.listener, 4) != 0) {
    std::perror("fake: listen");
    std::exit(1);
  }
}

void serve(Fake& fake) {
  while (true) {
    pollfd fds[2] = {{fake.listener, POLLIN, 0}, {fake.peer, POLLIN, 0}};
    if (::poll(fds, 2, 5) < 0) continue;
    // As a core publishes: twice, for the sequence is odd inside.
    for (uint32_t i = 0; i < fake.stats->workers; ++i) {
      if (i != 0 || !fake.told("silent-core-0")) fake.stats->cores[i].sequence.fetch_add(2);
      fake.stats->backends[i][0].up.store(fake.told("silent-backend-0") ? 0 : 1);
      fake.stats->cores[i].generation.store(
          fake.told("between-configs") ? 0 : fake.config.header.generation);
    }
    if (fds[1].revents != 0 && !serve_one(fake)) return;
    if (fds[0].revents != 0) {
      if (fake.peer >= 0) ::close(fake.peer);
      fake.peer = ::accept4(fake.listener, nullptr, nullptr, SOCK_CLOEXEC);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Fake fake;
  int config_fd = -1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--run-dir") == 0) fake.run_dir = argv[i + 1];
    if (std::strcmp(argv[i], "--config-fd") == 0) config_fd = std::atoi(argv[i + 1]);
  }
  if (fake.told("stubborn")) ::signal(SIGTERM, SIG_IGN);
  const bool whole = read_image(config_fd, fake.config);
  const bool small = fake.config.boot.frames_per_worker == 8192;
  if (fake.told("exit-at-start") ||
      (fake.told("exit-with-8192-buffers") && small) ||
      (fake.told("exit-at-start-on-vb") &&
       std::strcmp(fake.config.boot.port[0].interface, "vb") == 0)) {
    std::fprintf(stderr, "no such device: vx9\n");
    return 7;
  }
  if (!whole ||
      !snapshot::verify_config(&fake.config, sizeof fake.config).empty()) {
    std::fprintf(stderr, "bad config image\n");
    return 8;
  }
  ::alarm(60);  // no test leaves it behind for longer
  fake.note("start " + std::to_string(fake.config.header.generation));
  if (fake.told("no-socket") || (fake.told("no-socket-with-8192-buffers") && small)) {
    while (true) ::pause();
  }
  fake.boot = snapshot::boot_checksum(fake.config);
  make_stats(fake);
  run_generation(fake);
  listen_in(fake);
  serve(fake);
  return 0;
}
