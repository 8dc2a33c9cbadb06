// SPDX-License-Identifier: Apache-2.0
#include "control/daemon/verbs.hpp"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <optional>

#include "control/config/dump.hpp"
#include "control/config/load.hpp"
#include "control/daemon/daemon.hpp"
#include "control/daemon/diagnostics_json.hpp"
#include "control/daemon/dns_text.hpp"
#include "control/daemon/read_text.hpp"
#include "control/daemon/stats_json.hpp"
#include "control/daemon/status_json.hpp"
#include "control/daemon/version.hpp"

namespace millrace::ctl {
namespace {

using Json = nlohmann::json;
using Respond = ControlServer::Respond;

constexpr uint8_t kEveryPacketCache = 0xff;
constexpr int64_t kMillisecondsMax = int64_t{1} << 42;  // 139 years: no sum overflows

// The arguments of one request. Reads what the verb names; the first thing that is wrong sticks.
class Arguments {
 public:
  Arguments(const Json& request, std::initializer_list<const char*> known) : request_(request) {
    for (const auto& [key, value] : request.items()) {
      const bool fits = key == "verb" || std::any_of(known.begin(), known.end(),
                                                     [&](const char* name) { return key == name; });
      if (!fits) fail("unknown argument \"" + key + "\"");
    }
  }

  std::string text(const char* key) {
    const auto found = request_.find(key);
    if (found == request_.end()) return {};
    if (found->is_string()) return found->get<std::string>();
    fail(std::string(key) + ": must be a string");
    return {};
  }

  bool flag(const char* key) {
    const auto found = request_.find(key);
    if (found == request_.end()) return false;
    if (found->is_boolean()) return found->get<bool>();
    fail(std::string(key) + ": must be true or false");
    return false;
  }

  // A whole number of 0 or more.
  int64_t number(const char* key, int64_t max) {
    const auto found = request_.find(key);
    const bool whole = found != request_.end() && found->is_number_integer();
    const int64_t value = whole ? found->get<int64_t>() : -1;
    if (value < 0 || value > max) fail(std::string(key) + ": must be 0 to " + std::to_string(max));
    return value;
  }

  // The client waits until then. One that is over is the first thing that is wrong, too.
  std::optional<EventLoop::Clock::time_point> deadline() {
    const auto found = request_.find("deadline_ms");
    if (found == request_.end()) return std::nullopt;
    const int64_t ms = found->is_number_integer() ? found->get<int64_t>() : -1;
    if (ms < 0 || ms > kMillisecondsMax) {
      fail("deadline_ms: must be milliseconds of CLOCK_MONOTONIC");
      return std::nullopt;
    }
    const EventLoop::Clock::time_point end{EventLoop::Milliseconds(ms)};
    if (status_.ok() && end <= EventLoop::Clock::now()) {
      status_ = {Code::timed_out, "read after the time to wait was over; nothing changed"};
    }
    return end;
  }

  bool has(const char* key) const { return request_.contains(key); }
  void fail(const std::string& why) {
    if (status_.ok()) status_ = {Code::usage, why};
  }
  const Status& status() const { return status_; }

 private:
  const Json& request_;
  Status status_;
};

void refuse(const Respond& respond, const Status& status, Json data = Json::object()) {
  // "Unreachable" is the CLI's word for a daemon that does not answer; this one does.
  const Code code = status.code() == Code::unreachable ? Code::error : status.code();
  respond({{code, status.message()}, std::move(data), {}});
}

Status data_plane_absent(Daemon& daemon) {
  return {Code::error, "data plane is not running (" +
                           std::to_string(daemon.supervisor().restarts()) +
                           " failures so far); see the log of millraced"};
}

void version_verb(Daemon&, const Json& request, const Respond& respond) {
  Arguments arguments(request, {});
  if (!arguments.status().ok()) return refuse(respond, arguments.status());
  respond({{}, {{"version", kVersion}, {"abi_version", abi::kAbiVersion}}, {}});
}

void status_verb(Daemon& daemon, const Json& request, const Respond& respond) {
  Arguments arguments(request, {});
  if (!arguments.status().ok()) return refuse(respond, arguments.status());
  respond({{}, status_json(daemon), {}});
}

void stats_verb(Daemon& daemon, const Json& request, const Respond& respond) {
  Arguments arguments(request, {});
  if (!arguments.status().ok()) return refuse(respond, arguments.status());
  const auto& info = daemon.supervisor().info();
  if (!info) return refuse(respond, data_plane_absent(daemon));
  auto made = stats_json(*info->stats, backend_labels(daemon));
  if (!made.ok()) return refuse(respond, made.status());
  Json& out = made.value();
  out["pid"] = info->pid;
  out["started_boot_ns"] = info->stats->started_boot_ns;
  out["uptime_s"] = data_plane_uptime_s(*info->stats);
  out["prefilter"] = Json::object();
  for (const auto& interface : kernel_interfaces(daemon.current().config)) {
    const auto counters = daemon.prefilter().counters(interface);
    if (!counters.ok()) return refuse(respond, counters.status());
    Json& rows = out["prefilter"][interface] = Json::object();
    for (const auto& [reason, count] : counters.value().by_reason) rows[reason] = count;
  }
  respond({{}, std::move(out), {}});
}

void config_show_verb(Daemon& daemon, const Json& request, const Respond& respond) {
  Arguments arguments(request, {"what"});
  const std::string what = arguments.has("what") ? arguments.text("what") : "effective";
  if (what != "effective" && what != "default") {
    arguments.fail("what: must be \"effective\" or \"default\"");
  }
  if (!arguments.status().ok()) return refuse(respond, arguments.status());
  const bool effective = what == "effective";
  respond({{},
           {{"yaml", effective ? dump_yaml(daemon.current().config) : dump_defaults()},
            {"generation", daemon.current().generation()}},
           {}});
}

Json outcome_json(const ApplyOutcome& outcome) {
  Json changes = Json::array();
  for (const auto& change : outcome.changes) {
    changes.push_back({{"key", change.key},
                       {"before", change.before},
                       {"after", change.after},
                       {"reload", reload_class_name(change.reload)}});
  }
  return {{"generation", outcome.generation},
          {"applied", outcome.applied},
          {"elapsed_ms", outcome.elapsed_ms},
          {"reload", reload_class_name(outcome.reload)},
          {"changes", std::move(changes)},
          {"warnings", outcome.warnings}};
}

void config_apply_verb(Daemon& daemon, const Json& request, const Respond& respond) {
  Arguments arguments(request, {"yaml", "source", "dry_run", "allow_restart", "deadline_ms"});
  ApplyRequest apply;
  apply.yaml = arguments.text("yaml");
  apply.source = arguments.has("source") ? arguments.text("source") : "request";
  apply.dry_run = arguments.flag("dry_run");
  apply.allow_restart = arguments.flag("allow_restart");
  apply.deadline = arguments.deadline();
  if (!arguments.status().ok()) return refuse(respond, arguments.status());
  if (!arguments.has("yaml")) {
    apply.source = daemon.options().config_path;
    auto text = read_text(apply.source);
    if (!text.ok()) return refuse(respond, text.status());
    apply.yaml = std::move(text).value();
  }
  const bool real = !apply.dry_run;
  daemon.apply(std::move(apply), [&daemon, respond, real](const Status& status,
                                                          const ApplyOutcome& outcome) {
    Json out = outcome_json(outcome);
    if (!outcome.diagnostics.empty())
      out = {{"diagnostics", diagnostics_json(outcome.diagnostics)}};
    if (!status.ok()) return refuse(respond, status, std::move(out));
    if (real && file_differs(daemon)) out["file_not_changed"] = own_file(daemon);
    respond({{}, std::move(out), {}});
  });
}

// Name and type of a cache verb, in the protocol's terms.
abi::CacheQuery cache_query(Arguments& arguments, abi::NameMatch with_name) {
  abi::CacheQuery query{};
  query.packet_cache = kEveryPacketCache;
  if (arguments.has("type")) {
    const auto type = record_type(arguments.text("type"));
    if (type.ok()) query.qtype = type.value();
    else arguments.fail(type.status().message());
  }
  if (!arguments.has("name")) return query;
  const auto name = wire_name(arguments.text("name"));
  if (!name.ok()) {
    arguments.fail(name.status().message());
    return query;
  }
  query.match = with_name;
  query.name_bytes = static_cast<uint8_t>(name.value().size());
  std::memcpy(query.name, name.value().data(), name.value().size());
  return query;
}

// The reply of a cache call; rows beyond those sent stay zero.
Status take_cache_reply(const Result<LinkReply>& result, abi::CacheReply& reply) {
  if (!result.ok()) return result.status();
  if (auto status = result.value().status(); !status.ok()) return status;
  constexpr std::size_t kHeadBytes = offsetof(abi::CacheReply, row);
  if (!result.value().as(reply, kHeadBytes) || reply.rows > abi::kCacheRowsMax ||
      result.value().packet.size() < kHeadBytes + reply.rows * sizeof(abi::CacheRow)) {
    return {Code::error, "data plane sent a reply of the wrong size"};
  }
  return {};
}

// Rows of a suffix have each its name; the one name of the others stays as the operator spelt it.
Result<Json> cache_rows_json(const Config& config, const abi::CacheQuery& query,
                             const abi::CacheReply& reply) {
  Json rows = Json::array();
  for (const auto& row : std::span(reply.row, reply.rows)) {
    std::span<const uint8_t> name(query.name, query.name_bytes);
    if (query.match != abi::NameMatch::exact) {
      const auto own = name_of_row(row);
      if (!own.ok()) return own.status();
      name = own.value();
    }
    rows.push_back(cache_row_json(row, name));
    // Entries of a cache that the config has no more are on their way out.
    const bool known = row.packet_cache < config.packet_caches.size();
    rows.back()["packet_cache"] = known ? config.packet_caches[row.packet_cache].name : "";
  }
  return rows;
}

void cache_lookup_verb(Daemon& daemon, const Json& request, const Respond& respond) {
  Arguments arguments(request, {"name", "suffix", "type"});
  if (!arguments.has("name")) arguments.fail("name: is missing");
  const auto query = cache_query(arguments, arguments.flag("suffix") ? abi::NameMatch::suffix
                                                                     : abi::NameMatch::exact);
  if (!arguments.status().ok()) return refuse(respond, arguments.status());
  if (!daemon.supervisor().info()) return refuse(respond, data_plane_absent(daemon));
  daemon.supervisor().link().call(
      abi::Op::cache_lookup, query, daemon.options().query_timeout,
      [&daemon, query, respond](const Result<LinkReply>& result) {
        const bool nothing = result.ok() && result.value().code == abi::ReplyCode::not_found;
        auto reply = std::make_unique<abi::CacheReply>();
        const Status status = nothing ? Status() : take_cache_reply(result, *reply);
        if (!status.ok()) return refuse(respond, status);
        auto rows = cache_rows_json(daemon.current().config, query, *reply);
        if (!rows.ok()) return refuse(respond, rows.status());
        respond({{}, {{"name", name_text({query.name, query.name_bytes})},
                      {"rows_total", reply->rows_total},
                      {"rows", std::move(rows).value()}}, {}});
      });
}

// How long the data plane may take: a tenth of what the client waits is for saying so.
EventLoop::Milliseconds most_of(EventLoop::Clock::time_point deadline) {
  const auto left = (deadline - EventLoop::Clock::now()) * 9 / 10;
  return std::max(EventLoop::Milliseconds(1),
                  std::chrono::duration_cast<EventLoop::Milliseconds>(left));
}

void cache_flush_verb(Daemon& daemon, const Json& request, const Respond& respond) {
  Arguments arguments(request, {"name", "suffix", "type", "negative", "deadline_ms"});
  const bool suffix = arguments.flag("suffix");
  if (suffix && !arguments.has("name")) arguments.fail("suffix: needs a name");
  auto query = cache_query(arguments, suffix ? abi::NameMatch::suffix : abi::NameMatch::exact);
  query.negative_only = arguments.flag("negative") ? 1 : 0;
  const auto deadline = arguments.deadline();
  if (!arguments.status().ok()) return refuse(respond, arguments.status());
  if (!daemon.supervisor().info()) return refuse(respond, data_plane_absent(daemon));
  auto patience = daemon.options().query_timeout;
  if (deadline) patience = std::min(patience, most_of(*deadline));
  daemon.supervisor().link().call(
      abi::Op::cache_flush, query, patience, [respond](const Result<LinkReply>& result) {
        if (!result.ok() && result.status().code() == Code::timed_out) {
          return refuse(respond, {Code::timed_out, result.status().message() +
                                                       "; the flush may still be carried out"});
        }
        const bool nothing = result.ok() && result.value().code == abi::ReplyCode::not_found;
        auto reply = std::make_unique<abi::CacheReply>();
        const Status status = nothing ? Status() : take_cache_reply(result, *reply);
        if (!status.ok()) return refuse(respond, status);
        respond({{}, {{"removed", reply->removed}}, {}});
      });
}

void testing_advance_verb(Daemon& daemon, const Json& request, const Respond& respond) {
  Arguments arguments(request, {"ms", "deadline_ms"});
  constexpr int64_t kNsPerMs = 1'000'000;
  const int64_t ms = arguments.number("ms", abi::kAdvanceNsMax / kNsPerMs);
  const auto deadline = arguments.deadline();
  if (!arguments.status().ok()) return refuse(respond, arguments.status());
  if (daemon.current().config.testing.clock != abi::ClockMode::manual) {
    return refuse(respond, {Code::rejected, "the clock goes by itself: the config that runs does "
                                            "not have `testing: {clock: manual}`"});
  }
  if (!daemon.supervisor().info()) return refuse(respond, data_plane_absent(daemon));
  daemon.supervisor().link().call(
      {.request = {}, .by_ns = static_cast<uint64_t>(ms * kNsPerMs)},
      deadline ? most_of(*deadline) : daemon.options().query_timeout,
      [respond](const Result<LinkReply>& result) {
        const Status status = result.ok() ? result.value().status() : result.status();
        if (!status.ok()) return refuse(respond, status);
        respond({{}, Json::object(), {}});
      });
}

struct Verb {
  const char* name;
  void (*run)(Daemon&, const Json&, const Respond&);
};

constexpr Verb kVerbs[] = {
    {"version", version_verb},           {"status", status_verb},
    {"stats", stats_verb},               {"config-show", config_show_verb},
    {"config-apply", config_apply_verb}, {"cache-lookup", cache_lookup_verb},
    {"cache-flush", cache_flush_verb},   {"testing-advance", testing_advance_verb},
};

}  // namespace

void handle_verb(Daemon& daemon, const Json& request, const Respond& respond) {
  const auto verb = request.find("verb");
  if (verb == request.end() || !verb->is_string()) {
    return refuse(respond, {Code::usage, "verb: is missing"});
  }
  const auto name = verb->get<std::string>();
  for (const auto& known : kVerbs) {
    if (name == known.name) return known.run(daemon, request, respond);
  }
  refuse(respond, {Code::usage, "unknown verb \"" + name + "\""});
}

}  // namespace millrace::ctl
