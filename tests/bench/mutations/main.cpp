// mutations [--count N] [--right N] [--seed N] [--family NAME] [--matching TEXT] [--first-round N]
//           [--minutes N] [--records FILE] [--worker FILE] [--quiet]
//
// How much of what is wrong does the check catch, and does it refuse what is right? Kernels as the writer
// renders them for small workloads of every family are mutated, built, and judged as candidates of a job are:
// input families, poison, guards, determinism, and errors against the FP64 oracle. What is accepted gets a
// wider look (trial.h), and what the wider look finds equal is compared as machine code (assembly.h). With
// --records a campaign goes on where an earlier run of it ended. Prints tables and everything that was
// accepted; ends with 1 when fewer than 99.9 % of the wrong mutants were caught or a right variant was
// refused.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>

#include "tests/bench/mutations/report.h"

using namespace kiln;
using namespace kiln::mutation;

namespace {

constexpr double kLeastCaught = 0.999;
constexpr int kBarWidth = 24;

// A bar of the mutants, of the right variants of the family that lacks most, and where the campaign is.
class Progress {
 public:
  explicit Progress(const CampaignOptions& options) : options_(options) {}

  void operator()(const Campaign& campaign) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(200)) return;
    last_ = now;
    const std::size_t wrong = campaign.wrong();
    const int filled = static_cast<int>(kBarWidth * std::min(wrong, options_.wrong) /
                                        std::max<std::size_t>(1, options_.wrong));
    const std::string bar = std::string(static_cast<std::size_t>(filled), '#') +
                            std::string(static_cast<std::size_t>(kBarWidth - filled), '.');
    std::fprintf(stderr, "\r[%s] %zu of %zu wrong; round %llu: %-64.64s", bar.c_str(), wrong, options_.wrong,
                 static_cast<unsigned long long>(campaign.round()), campaign.at().c_str());
  }

 private:
  const CampaignOptions& options_;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace

int main(int argc, char** argv) {
  CampaignOptions options;
  options.worker = KILN_BINARY_DIR "/bin/kiln-worker";
  std::string file;
  bool quiet = false;
  CLI::App app("How many wrong kernels the check catches, and whether it refuses right ones");
  app.add_option("--count", options.wrong, "mutants to find wrong");
  app.add_option("--right", options.right, "right variants in each family");
  app.add_option("--seed", options.seed, "of the choice of mutants and of all inputs");
  app.add_option("--family", options.family, "only this family of workloads");
  app.add_option("--matching", options.matching, "only mutants whose difference to the original has this text");
  app.add_option("--first-round", options.first_round, "where to begin: each round has shapes of its own");
  app.add_option("--minutes", options.minutes, "stop after as long");
  app.add_option("--records", file, "lines of JSON: what is in there is not tried again");
  app.add_option("--worker", options.worker, "the kiln-worker that checks");
  app.add_flag("--quiet", quiet, "no progress");
  CLI11_PARSE(app, argc, argv);
  Records records(file);
  const std::size_t before = records.all().size();
  Progress progress(options);
  Campaign campaign(options, records, [&](const Campaign& c) {
    if (!quiet) progress(c);
  });
  campaign.run();
  if (!quiet) std::fprintf(stderr, "\n");
  print_report(records);
  print_costs(campaign.costs(), records.all().size() - before);
  return caught_share(records) >= kLeastCaught && refused_right_variants(records) == 0 ? 0 : 1;
}
