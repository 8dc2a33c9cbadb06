// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <memory>

#include "control/base/counted.hpp"
#include "control/cli/session.hpp"

namespace millrace::cli {
namespace {

struct FlushOptions {
  std::string name;
  std::string type;
  bool suffix = false;
  bool negative = false;
  bool all = false;
};

void flush(Session& session, const FlushOptions& options) {
  if (options.name.empty() && (options.suffix || !options.all)) {
    return session.fail(ctl::Status(ctl::Code::usage, options.suffix
                                                          ? "--suffix needs a NAME"
                                                          : "NAME, or --all for every name"));
  }
  if (auto good = check_question(options.name, options.type); !good.ok()) {
    return session.fail(good);
  }
  Json request{{"verb", "cache-flush"}};
  if (!options.name.empty()) request["name"] = options.name;
  if (!options.type.empty()) request["type"] = options.type;
  if (options.suffix) request["suffix"] = true;
  if (options.negative) request["negative"] = true;
  const Reply reply = session.change(std::move(request), "the flush may still be carried out");
  if (!reply.status.ok()) return session.fail(reply);
  if (session.json) return session.print_json(reply.data);
  const auto removed = reply.data.value("removed", uint64_t{0});
  std::printf("%s removed\n", ctl::counted(removed, "entry", "entries").c_str());
}

}  // namespace

void add_cache_flush(CLI::App& cache, Session& session) {
  auto* verb = cache.add_subcommand(
      "flush",
      "remove entries: of one name, of a name and all below it (--suffix), or of all (--all). "
      "Returns when every core has done so; answers in flight are not stored.\n"
      "An entry is found by the name that was asked for: answers to other names that lead "
      "to NAME by a CNAME stay");
  verb->fallthrough();
  auto options = std::make_shared<FlushOptions>();
  auto* name = verb->add_option("NAME", options->name, "domain name")->check(not_empty());
  verb->add_flag("--suffix", options->suffix, "also every name below NAME");
  verb->add_option("--type", options->type, "only this type: AAAA, or TYPE28")
      ->type_name("T")
      ->check(not_empty());
  verb->add_flag("--negative", options->negative, "only NXDOMAIN, NODATA and failures");
  verb->add_flag("--all", options->all, "every name")
      ->excludes(name);
  verb->callback([&session, options] { flush(session, *options); });
}

}  // namespace millrace::cli
