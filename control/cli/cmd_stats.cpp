// SPDX-License-Identifier: Apache-2.0
#include <cctype>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "control/cli/explain.hpp"
#include "control/cli/session.hpp"
#include "control/cli/stats_delta.hpp"
#include "control/cli/table.hpp"

namespace millrace::cli {
namespace {

std::string text_of(const Json& number) { return std::to_string(number.get<uint64_t>()); }

// One row per name that is not zero: the total, then each core.
void add_rows(Table& table, const Json& data, const char* group) {
  for (const auto& [name, total] : data.at("total").at(group).items()) {
    if (total.get<uint64_t>() == 0) continue;
    std::vector<std::string> cells{name, text_of(total)};
    for (const auto& core : data.at("cores")) cells.push_back(text_of(core.at(group).at(name)));
    table.add(std::move(cells));
  }
}

void add_row(Table& table, const Json& data, const char* key) {
  std::vector<std::string> cells{key, text_of(data.at("total").at(key))};
  for (const auto& core : data.at("cores")) cells.push_back(text_of(core.at(key)));
  table.add(std::move(cells));
}

std::string in_capitals(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

Table core_table(const Json& data, const char* title) {
  std::vector<std::string> heads{title, "TOTAL"};
  for (const auto& core : data.at("cores")) heads.push_back(in_capitals(core.at("name")));
  return Table(std::move(heads));
}

// "rx 10 = hit 7 + miss 3: holds on every core"
std::string identity_text(const Json& data) {
  const Json& identity = data.at("identity");
  std::string sum;
  for (const auto& [name, count] : data.at("total").at("classes").items()) {
    if (count.get<uint64_t>() == 0) continue;
    sum += (sum.empty() ? "" : " + ") + name + " " + text_of(count);
  }
  return "rx " + text_of(identity.at("rx")) + " = " + (sum.empty() ? "0" : sum) +
         (identity.at("holds").get<bool>() ? ": holds on every core" : ": DOES NOT HOLD");
}

std::string misses_text(const Json& data) {
  const Json& identity = data.at("identity");
  const Json& events = data.at("total").at("events");
  const auto misses = identity.at("misses").get<uint64_t>();
  const auto accounted = identity.at("misses_accounted").get<uint64_t>();
  std::string text = "miss " + std::to_string(misses) + " = answered " +
                     text_of(events.at("waiter_answered")) + " + failed " +
                     text_of(events.at("waiter_failed")) + " + waiting " +
                     text_of(data.at("total").at("waiters"));
  if (misses == accounted) return text + ": holds";
  const uint64_t apart = misses > accounted ? misses - accounted : accounted - misses;
  return text + ": " + std::to_string(apart) + " between two cores at this moment";
}

void print_backends(const Json& data) {
  Table table({"BACKEND", "ADDRESS", "STATE", "SENT", "ANSWERED", "TIMEOUTS", "FAILURES",
               "RTT US"});
  for (const auto& one : data.at("backends")) {
    const bool usable = one.at("usable").get<bool>();
    const char* state = !usable ? "unreachable" : one.at("up").get<bool>() ? "up" : "down";
    table.add({one.value("name", ""), one.value("address", ""), state, text_of(one.at("sent")),
               text_of(one.at("answered")), text_of(one.at("timeouts")),
               text_of(one.at("failures")), text_of(one.at("rtt_us"))});
  }
  if (!table.empty()) std::printf("\n%s", table.text().c_str());
}

void print_prefilter(const Json& data) {
  Table table({"PREFILTER", "REASON", "PACKETS"});
  for (const auto& [interface, reasons] : data.at("prefilter").items()) {
    for (const auto& [reason, count] : reasons.items()) {
      if (count.get<uint64_t>() != 0) table.add({interface, reason, text_of(count)});
    }
  }
  if (!table.empty()) std::printf("\n%s", table.text().c_str());
}

void print_text(const Json& data) {
  Table outcomes = core_table(data, "OUTCOME");
  add_row(outcomes, data, "rx");
  add_rows(outcomes, data, "outcomes");
  Table events = core_table(data, "EVENT");
  add_rows(events, data, "events");
  for (const auto& gauge : kGauges) add_row(events, data, gauge.name);
  if (data.contains("seconds")) std::printf("in %.1f s\n\n", data["seconds"].get<double>());
  std::printf("%s\n%s\n%s\n%s\n", outcomes.text().c_str(), events.text().c_str(),
              identity_text(data).c_str(), misses_text(data).c_str());
  print_backends(data);
  print_prefilter(data);
}

void stats(Session& session, double delta_s) {
  Reply reply = session.call({{"verb", "stats"}});
  if (!reply.status.ok()) return session.fail(reply);
  if (delta_s > 0) {
    const Json before = std::move(reply.data);
    std::this_thread::sleep_for(std::chrono::duration<double>(delta_s));
    reply = session.call({{"verb", "stats"}});
    if (!reply.status.ok()) return session.fail(reply);
    auto difference = stats_delta(before, std::move(reply.data));
    if (!difference.ok()) return session.fail(difference.status());
    reply.data = std::move(difference).value();
    reply.data["seconds"] = delta_s;
  }
  if (session.json) return session.print_json(reply.data);
  print_text(reply.data);
}

void print_explanations(Session& session, const std::vector<std::string>& words) {
  const auto found = explain(words);
  if (!found.ok()) return session.fail(found.status());
  Json counters = Json::array();
  Table table({"KIND", "COUNTER", "TERM", "MEANING"});
  for (const Explanation& one : found.value()) {
    counters.push_back({{"kind", one.kind}, {"name", one.name}, {"meaning", one.text}});
    if (!one.term.empty()) counters.back()["term"] = one.term;
    table.add({std::string(one.kind), std::string(one.name), std::string(one.term),
               std::string(one.text)});
  }
  if (session.json) return session.print_json({{"counters", std::move(counters)}});
  std::printf("%s", table.text().c_str());
}

}  // namespace

void add_stats(CLI::App& app, Session& session) {
  auto* verb = app.add_subcommand(
      "stats",
      "what became of every packet, per core, and whether the sums hold. Counters begin at 0 when "
      "the data plane starts and are never reset; see uptime_s.\n"
      "What a counter means: --explain");
  verb->fallthrough();
  struct Options {
    double delta_s = 0;
    bool explain = false;
    std::vector<std::string> words;
  };
  auto options = std::make_shared<Options>();
  auto* delta =
      verb->add_option("--delta", options->delta_s, "only what happens in the next SECONDS")
          ->type_name("SECONDS")
          ->check(seconds_in(0.001, 86400));
  auto* meaning = verb->add_flag("--explain", options->explain,
                                 "say what the counters mean instead; needs no daemon");
  meaning->excludes(delta);
  verb->add_option("COUNTER", options->words,
                   "with --explain: only these, by name, by part of a name, or by term of the sum")
      ->needs(meaning);
  verb->callback([&session, options] {
    if (options->explain) return print_explanations(session, options->words);
    try {
      stats(session, options->delta_s);
    } catch (const Json::exception&) {
      session.fail(ctl::Status(ctl::Code::error,
                               "millraced is of another version; see `millrace version`"));
    }
  });
}

}  // namespace millrace::cli
