// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include "control/base/counted.hpp"
#include "control/cli/session.hpp"

namespace millrace::cli {
namespace {

std::string flags_text(const Json& row) {
  std::string flags;
  for (const char* flag : {"do", "cd", "ad", "negative"}) {
    if (row.value(flag, false)) flags += std::string(" ") + flag;
  }
  return flags;
}

// Fresh, or past its time and kept for when no new answer can be had (serve_stale).
std::string time_text(const Json& row) {
  const std::string lifetime = std::to_string(row.value("lifetime", 0u));
  const Json stale = row.value("stale", Json());
  if (!stale.is_number_unsigned()) {
    return "ttl " + std::to_string(row.value("ttl", 0u)) + " of " + lifetime + " s";
  }
  return "past its time of " + lifetime + " s, may be served for " +
         std::to_string(stale.get<uint32_t>()) + " s more";
}

// For whom it is, where that is not everybody.
std::string clients_text(const Json& row) {
  const Json subnet = row.value("client_subnet", Json());
  if (!subnet.is_object()) return "";
  const std::string prefix = subnet.value("prefix", "?");
  if (!subnet.value("exact", false)) return ", for clients in " + prefix;
  return prefix == "0.0.0.0/0" ? ", for clients that want nothing told of their subnet"
                               : ", for clients that tell just " + prefix;
}

// The one that a config without `packet_caches` has needs no name.
std::string cache_text(const Json& row) {
  const std::string name = row.value("packet_cache", "default");
  return name == "default" ? "" : ", in packet cache " + name;
}

void print_row(const Json& row) {
  std::printf("; %s %s %s %s, %s%s%s%s\n", row.value("name", "?").c_str(),
              row.value("class", "?").c_str(), row.value("type", "?").c_str(),
              row.value("rcode", "?").c_str(), time_text(row).c_str(),
              flags_text(row).c_str(), clients_text(row).c_str(), cache_text(row).c_str());
  for (const auto& record : row.value("records", Json::array())) {
    std::printf("%s\t%u\t%s\t%s\t%s\n", record.value("name", "").c_str(), record.value("ttl", 0u),
                record.value("class", "").c_str(), record.value("type", "").c_str(),
                record.value("rdata", "").c_str());
  }
  if (!row.value("complete", true)) std::printf("; further records do not fit in this reply\n");
}

struct LookupOptions {
  std::string name;
  std::string type;
  bool suffix = false;
};

void lookup(Session& session, const LookupOptions& options) {
  if (auto good = check_question(options.name, options.type); !good.ok()) {
    return session.fail(good);
  }
  Json request{{"verb", "cache-lookup"}, {"name", options.name}};
  if (!options.type.empty()) request["type"] = options.type;
  if (options.suffix) request["suffix"] = true;
  const Reply reply = session.call(request);
  if (!reply.status.ok()) return session.fail(reply);
  if (session.json) return session.print_json(reply.data);
  const Json rows = reply.data.value("rows", Json::array());
  if (rows.empty()) {
    std::printf("; %s%s%s%s is not in the cache\n", options.name.c_str(),
                options.type.empty() ? "" : " ", options.type.c_str(),
                options.suffix ? ", and what is below it," : "");
  }
  for (const auto& row : rows) print_row(row);
  const auto total = reply.data.value("rows_total", std::size_t{0});
  if (total > rows.size()) {
    std::printf("; and %s\n",
                ctl::counted(total - rows.size(), "more entry", "more entries").c_str());
  }
}

}  // namespace

void add_cache_lookup(CLI::App& cache, Session& session) {
  auto* verb = cache.add_subcommand(
      "lookup", "show what the cache holds for a name: one entry per type, DO/CD bit and client "
                "subnet, with the seconds left to live, or, past its time, those for which "
                "`serve_stale` still may serve it");
  verb->fallthrough();
  auto options = std::make_shared<LookupOptions>();
  verb->add_option("NAME", options->name, "domain name")->required()->check(not_empty());
  verb->add_flag("--suffix", options->suffix, "also every name below NAME");
  verb->add_option("--type", options->type, "only this type: AAAA, or TYPE28")
      ->type_name("T")
      ->check(not_empty());
  verb->callback([&session, options] { lookup(session, *options); });
}

}  // namespace millrace::cli
