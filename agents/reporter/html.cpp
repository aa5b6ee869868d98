// The page: one section a function, in the order in which an auditor asks. No script at all; the content security
// policy in the head forbids every load, so that the page cannot become one that reaches out.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "agents/artifacts/facts.h"
#include "agents/artifacts/fields.h"
#include "agents/reporter/page.h"
#include "agents/reporter/regions.h"
#include "agents/reporter/reporter.h"
#include "runtime/base/json.h"

namespace kiln::agents {
namespace {

using page::duration;
using page::escaped;

const json::object& object_at(const json::object& o, std::string_view key) {
  return json::as_object(json::at(o, key, "report"), key);
}
const json::array& array_at(const json::object& o, std::string_view key) {
  return json::as_array(json::at(o, key, "report"), key);
}
std::string text_at(const json::object& o, std::string_view key) { return escaped(json::get_string(o, key, "report")); }
double figure_at(const json::object& o, std::string_view key) { return fields::number(o, key, "report"); }

std::string mono(const std::string& escaped_text) { return "<code>" + escaped_text + "</code>"; }
std::string short_digest(const std::string& digest) {
  return digest.size() > 16 ? digest.substr(0, 16) + "…" : digest;
}

std::string head(const json::object& report) {
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"referrer\" "
         "content=\"no-referrer\">"
         "<title>Kiln report: " +
         text_at(object_at(report, "workload"), "name") + "</title><style>" + std::string(page::style()) +
         "</style></head>\n<body><main>\n";
}

std::string objective_of(const json::object& report) {
  const json::value* objective = object_at(report, "policy").if_contains("objective");
  return objective ? json::get_string(json::as_object(*objective, "objective"), "minimize", "objective") : "latency";
}

std::string headline(const json::object& speed_up, const std::string& comparison, const std::string& objective) {
  const double ratio = figure_at(speed_up, "ratio");
  const char* what = objective == "energy"       ? "results per joule"
                     : objective == "throughput" ? "results per second"
                                                 : "speed";
  if (comparison == "faster" && objective == "latency") return fmt::format("{:.2f}× faster", ratio);
  if (comparison == "faster") return fmt::format("{:.2f}× the {}", ratio, what);
  if (comparison == "slower") return fmt::format("slower: {:.2f}× the incumbent's {}", ratio, what);
  if (comparison == "same") return fmt::format("the incumbent's {}", what);
  return "no clear difference";
}

// What the time of a summary is of; with the energy of a call where that was measured.
std::string meaning(const json::object& summary, const std::string& objective) {
  if (objective == "throughput") return "median per result, all cores or the GPU at work";
  if (!summary.contains("median_nj")) return "median of one call";
  return fmt::format("median of one call, which takes {:.4g} mJ", 1e-6 * figure_at(summary, "median_nj"));
}

std::string verdict(const json::object& report) {
  const json::object& decision = object_at(report, "decision");
  const json::object& speed_up = object_at(decision, "speed_up");
  const std::string comparison = json::get_string(decision, "comparison", "decision");
  const json::object& judgement = object_at(object_at(report, "whole"), "judgement");
  const json::object& policy = object_at(report, "policy");
  const json::object& workload = object_at(report, "workload");
  const std::string objective = objective_of(report);
  const bool right = json::get_string(judgement, "verdict", "judgement") == "ok";
  std::string out = "<h1>Tuning report: " + text_at(workload, "name") + "</h1>\n";
  out += fmt::format("<p class=\"muted\">job <code>{}</code>, workload <code>{}</code>, policy <b>{}</b></p>\n",
                     text_at(report, "job"), escaped(short_digest(json::get_string(workload, "id", "workload"))),
                     policy.contains("name") && policy.at("name").is_string()
                         ? escaped(std::string(policy.at("name").as_string()))
                         : "-");
  out += fmt::format(
      "<div class=\"verdict {}\"><div class=\"big\">{}</div><div>interval of the ratio of medians: [{:.3f}, {:.3f}]; "
      "{} of the whole "
      "workload against the FP64 oracle: {}</div><p>{}</p></div>\n",
      !right                   ? "bad"
      : comparison == "faster" ? "good"
                               : "",
      right ? headline(speed_up, comparison, objective) : "not right", figure_at(speed_up, "low"),
      figure_at(speed_up, "high"), "check", page::badge(json::get_string(judgement, "verdict", "judgement")),
      text_at(decision, "reason"));
  const json::object& whole = object_at(report, "whole");
  const json::object& totals = object_at(report, "totals");
  const auto fact = [](const std::string& value, const std::string& meaning) {
    return "<div><b>" + value + "</b><span>" + meaning + "</span></div>";
  };
  out += "<div class=\"facts\">" +
         fact(duration(figure_at(object_at(whole, "incumbent"), "median_ns")),
              "incumbent, " + meaning(object_at(whole, "incumbent"), objective)) +
         fact(duration(figure_at(object_at(whole, "tuned"), "median_ns")),
              "tuned plan, " + meaning(object_at(whole, "tuned"), objective)) +
         fact(fmt::format("{:.2g}", figure_at(judgement, "normwise_error")), "largest norm-wise error") +
         fact(fmt::format("{} of {}", json::get_int(totals, "regions_faster", "totals"),
                          json::get_int(totals, "regions", "totals")),
              "regions made faster") +
         fact(std::to_string(json::get_int(totals, "candidates", "totals")), "candidates tried") + "</div>\n";
  out +=
      "<nav aria-label=\"Sections\"><a href=\"#decision\">Decision</a><a href=\"#roofline\">Roofline</a><a "
      "href=\"#regions\">Regions</a>"
      "<a href=\"#search\">Search</a><a href=\"#failures\">Failures</a><a href=\"#timeline\">Timeline</a><a "
      "href=\"#environment\">Environment</a>"
      "<a href=\"#verify\">Verify</a></nav>\n";
  return out;
}

std::string items(const json::array& texts) {
  std::string out;
  for (const json::value& text : texts) out += "<li>" + escaped(std::string(text.as_string())) + "</li>";
  return out;
}

// What algebra gained is part of the ratios above, and is told apart from what kernels gained.
std::string algebra_paragraph(const json::object& report) {
  const json::value* found = report.if_contains("algebraic");
  if (found == nullptr || found->as_object().empty()) return {};
  const json::object& algebra = found->as_object();
  const json::object& gain = object_at(algebra, "speed_up");
  const json::array& rewrites = array_at(algebra, "rewrites");
  return "<p>Of it by algebra, which the policy allows: " + page::speed_up(gain) + " " +
         page::badge(json::get_string(gain, "comparison", "algebraic")) +
         ", the baseline as the workload was written over that of the rewritten one.</p>\n" +
         fmt::format("<details><summary>Algebraic rewrites: {}</summary><ul>", rewrites.size()) + items(rewrites) +
         "</ul></details>\n";
}

// Which whole plans took turns before the last comparison.
std::string plans_table(const json::object& report) {
  const json::value* found = report.if_contains("composition");
  if (found == nullptr || array_at(found->as_object(), "trials").empty()) return {};
  page::Table t{"Whole plans, in turns with the incumbent: by what regions took alone, by what they took in the plan, "
                "by sure gains only, with and without parts, without one kind of kernel, and of less memory.",
                {"Plan", "Regions on kernels of their own", "Working memory", "Ratio incumbent / plan"},
                {},
                {false, true, true, true}};
  for (const json::value& item : array_at(found->as_object(), "trials")) {
    const json::object& trial = json::as_object(item, "trial");
    t.rows.push_back({text_at(trial, "name"), std::to_string(json::get_int(trial, "winners", "trial")),
                      fmt::format("{} bytes", json::get_int(trial, "working_bytes", "trial")),
                      page::speed_up(object_at(trial, "speed_up"))});
  }
  const std::string chosen = json::get_string(found->as_object(), "chosen", "composition");
  return page::table(t) + "<p>The tuned plan is '" + escaped(chosen) + "'.</p>\n";
}

std::string decision_section(const json::object& report) {
  const json::object& whole = object_at(report, "whole");
  const json::object& decision = object_at(report, "decision");
  page::Table t{
      "Two measurements of the whole workload, each interleaved with the incumbent. Only what both show counts.",
      {"Where", "Ratio incumbent / tuned", "Verdict"},
      {},
      {false, true, false}};
  for (const auto& [member, where] :
       {std::pair{"search_process", "in the process of the search"}, {"fresh_process", "in a fresh process"}}) {
    const json::object& s = object_at(whole, member);
    t.rows.push_back({where, page::speed_up(s), page::badge(json::get_string(s, "comparison", member))});
  }
  std::string out = "<h2 id=\"decision\">Decision</h2>\n<p>" + text_at(decision, "reason") + "</p>\n" + page::table(t);
  page::Table times{"One call of the workload",
                    {"Plan", "Median", "Interval of the median", "Quartiles", "Least", "Samples"},
                    {},
                    {false, true, true, true, true, true}};
  for (const auto& [member, label] : {std::pair{"incumbent", "incumbent"}, {"tuned", "tuned"}}) {
    const json::object& s = object_at(whole, member);
    times.rows.push_back({label, duration(figure_at(s, "median_ns")),
                          duration(figure_at(s, "low_ns")) + " to " + duration(figure_at(s, "high_ns")),
                          duration(figure_at(s, "q1_ns")) + " to " + duration(figure_at(s, "q3_ns")),
                          duration(figure_at(s, "min_ns")), std::to_string(json::get_int(s, "samples", member))});
  }
  out += page::table(times) + plans_table(report);
  out += "<p>Correctness: " + text_at(object_at(whole, "judgement"), "reason") + "</p>\n";
  out += algebra_paragraph(report);
  const json::array& rewrites = array_at(report, "rewrites");
  if (rewrites.empty()) return out + "<p class=\"muted\">The graph was not rewritten.</p>\n";
  out += fmt::format("<details><summary>Rewrites of the graph: {}</summary><ul>", rewrites.size());
  return out + items(rewrites) + "</ul></details>\n";
}

// What the tuned plan runs for a region.
std::string runs(const json::object& region) {
  const std::string kernels = json::get_string(object_at(region, "choice"), "kernels", "choice");
  if (kernels == "incumbent") return "the incumbent's kernels, op by op";
  if (kernels == "parts") return "its parts, each by itself";
  return page::variant(object_at(region, "winner").at("variant"));
}

// What the plan of the fused regions was overruled in.
std::string kept_paragraph(const json::object& totals) {
  const std::int64_t split = json::get_int(totals, "regions_split", "totals");
  const std::int64_t unsearched = json::get_int(totals, "regions_unsearched", "totals");
  if (split == 0) return {};
  return fmt::format("<p>{} of {} regions run the incumbent's kernels, op by op: {} since no right candidate of theirs "
                     "is as fast, {} since no budget was left to search them.</p>\n",
                     split, json::get_int(totals, "regions", "totals"), split - unsearched, unsearched);
}

std::string regions_section(const json::object& report) {
  page::Table t{"A region is what one kernel computes. The floor is what the measured ceilings allow at best.",
                {"#", "Region", "Times", "Incumbent", "Winner", "Speed-up", "Of floor", "Error", "Verdict"}, {},
                {true, false, true, true, true, true, true, true, false}};
  std::string details;
  for (const json::value& item : array_at(report, "regions")) {
    const json::object& r = json::as_object(item, "region");
    const json::object& winner = object_at(r, "winner");
    const json::object& incumbent = object_at(r, "incumbent");
    const bool in_parts = json::get_string(object_at(r, "choice"), "kernels", "choice") == "parts";
    const json::object& run = in_parts ? object_at(r, "in_parts") : winner;
    const json::object& speed = object_at(run, "speed_up");
    const std::string number = std::to_string(t.rows.size() + 1);
    t.rows.push_back(
        {number,
         text_at(r, "label") + "<br><span class=\"muted\">" + escaped(runs(r)) + "</span>",
         std::to_string(json::get_int(r, "occurrences", "region")),
         duration(figure_at(object_at(incumbent, "summary"), "median_ns")),
         duration(figure_at(object_at(run, "summary"), "median_ns")), page::speed_up(speed),
         page::percent(figure_at(winner, "floor_fraction")),
         fmt::format("{:.2g}", figure_at(object_at(run, "judgement"), "normwise_error")),
         page::badge(json::get_string(speed, "comparison", "speed-up"))});
    const auto source = json::find_string(winner, "source", "winner");
    const std::string stopped = json::get_string(r, "stopped_because", "region");
    const json::object& choice = object_at(r, "choice");
    details += "<li>" + number + ". " + text_at(winner, "bottleneck") + "; was: " + text_at(incumbent, "label") +
               "; runs " + escaped(runs(r)) + ": " + text_at(choice, "reason") +
               (source ? "; source " + mono(escaped(*source)) : "") +
               (stopped.empty() ? "" : "; the search ended because " + escaped(stopped)) + "; key " +
               mono(text_at(r, "key")) + "</li>";
  }
  return "<h2 id=\"regions\">Regions</h2>\n" + page::table(t) + kept_paragraph(object_at(report, "totals")) +
         "<details><summary>Bottleneck, source and key of each region</summary><ul>" + details + "</ul></details>\n";
}

std::string search_section(const json::object& report) {
  std::string plots, lists;
  for (const auto& [number, tried] : with_parts(array_at(report, "regions"))) {
    const json::object& r = *tried;
    plots += page::convergence(r);
    page::Table t{"",
                  {"#", "Variant", "Proposed by", "Verdict", "Median", "Build", "Reason"},
                  {},
                  {true, false, false, false, true, true, false}};
    for (const json::value& c_item : array_at(r, "candidates")) {
      const json::object& c = json::as_object(c_item, "candidate");
      t.rows.push_back({std::to_string(json::get_int(c, "order", "candidate") + 1),
                        escaped(page::variant(c.at("variant"))), text_at(c, "why"),
                        page::badge(json::get_string(c, "verdict", "candidate")), duration(figure_at(c, "median_ns")),
                        duration(figure_at(c, "build_ns")), text_at(c, "reason")});
    }
    lists += fmt::format("<details><summary>{}. {}: {} candidates</summary>{}</details>\n", number,
                         text_at(r, "label"), t.rows.size(), page::table(t));
  }
  return "<h2 id=\"search\">Search</h2>\n<p>Best time so far against candidates tried. Filled: at least as fast as the "
         "incumbent; open: right, but "
         "slower; ✕: failed, with its verdict below.</p>\n<div class=\"several\">" +
         plots + "</div>\n<h3>All candidates</h3>\n" + lists;
}

std::string learned_text(const json::value& learned) {
  if (learned.is_null()) return {};
  const json::object& o = json::as_object(learned, "learned");
  return "<br><span class=\"muted\">" + text_at(o, "because") + "</span>";
}

std::string failures_section(const json::object& report) {
  const json::object& by_verdict = object_at(object_at(report, "totals"), "by_verdict");
  std::string counts;
  for (const auto& member : by_verdict)
    counts +=
        fmt::format("{} {} &nbsp; ", json::get_int(by_verdict, member.key(), "by_verdict"), page::badge(member.key()));
  page::Table t{"", {"Region", "Variant", "Verdict", "Cause", "Proof", "What was done"}, {}, {}};
  for (const auto& [number, region] : with_parts(array_at(report, "regions"))) {
    for (const json::value& d_item : array_at(*region, "diagnoses")) {
      const json::object& d = json::as_object(d_item, "diagnosis");
      t.rows.push_back({number, escaped(page::variant(d.at("variant"))),
                        page::badge(json::get_string(d, "verdict", "diagnosis")), text_at(d, "cause"),
                        text_at(d, "proof"), text_at(d, "action") + learned_text(d.at("learned"))});
    }
  }
  const std::string failed = t.rows.empty() ? "<p>No candidate failed.</p>\n" : page::table(t);
  return "<h2 id=\"failures\">Failures and what was learned</h2>\n<p>A failed candidate is a result. All verdicts: " +
         (counts.empty() ? "none" : counts) + "</p>\n" + failed;
}

void add_row(page::Table& t, const std::string& what, const std::string& value) { t.rows.push_back({what, value}); }

std::string environment_section(const json::object& report) {
  const NodeFacts node = node_facts_from_json(json::at(report, "node", "report"));
  page::Table t{"", {"What", "Value"}, {}, {}};
  add_row(t, "Processor",
          escaped(node.cpu_model) + fmt::format(", {} usable cores, {} NUMA nodes", node.cores, node.numa_nodes));
  std::string features;
  for (const std::string& f : node.features) features += escaped(f) + " ";
  add_row(t, "Features", mono(features));
  add_row(t, "Caches",
          fmt::format("L1d {} KiB, L2 {} KiB per core, L3 {} KiB shared; memory {} MiB", node.l1d_bytes >> 10,
                      node.l2_bytes >> 10, node.l3_bytes >> 10, node.memory_bytes >> 20));
  std::string ceilings;
  for (const auto& [name, figure] : node.flops) ceilings += escaped(name) + " " + page::rate(figure, "FLOP/s") + "; ";
  for (const auto& [name, figure] : node.bandwidth) ceilings += escaped(name) + " " + page::rate(figure, "B/s") + "; ";
  add_row(t, "Measured ceilings", ceilings + "empty launch " + duration(node.launch_ns));
  add_row(t, "Instrument", fmt::format("A/A self-test: {:.2f} % false differences", node.false_difference_rate * 100));
  add_row(t, "Compiler", escaped(node.compiler));
  add_row(t, "Operating system", escaped(node.os_kernel));
  std::string sandbox;
  for (const std::string& s : node.sandbox) sandbox += escaped(s) + ", ";
  if (!sandbox.empty()) sandbox.resize(sandbox.size() - 2);
  add_row(t, "Sandbox of the workers", sandbox.empty() ? "<span class=\"badge bad\">✕ none</span>" : sandbox);
  const json::object& policy = object_at(report, "policy");
  if (const auto digest = json::find_string(policy, "digest", "policy"))
    add_row(t, "Policy digest", mono(escaped(*digest)));
  if (const auto corpus = json::find_string(report, "corpus", "report"))
    add_row(t, "Corpus digest", mono(escaped(*corpus)));
  if (const json::value* added = report.if_contains("site_templates"))
    for (const json::value& item : json::as_array(*added, "site_templates")) {
      const json::object& one = json::as_object(item, "site_templates");
      add_row(t, "Template of the site " + escaped(json::get_string(one, "template", "site_templates")),
              mono(escaped(json::get_string(one, "digest", "site_templates"))));
    }
  if (const json::value* counts = report.if_contains("objects")) {
    const json::object& objects = json::as_object(*counts, "objects");
    add_row(t, "Kernels", fmt::format("{} compiled for this job, {} built before by the same compiler",
                                      json::get_int(objects, "built", "objects"),
                                      json::get_int(objects, "from_cache", "objects")));
  }
  for (const auto& member : object_at(report, "versions"))
    add_row(t, "Version of " + escaped(std::string(member.key())),
            escaped(member.value().is_string() ? std::string(member.value().as_string())
                                               : json::canonical(member.value())));
  return "<h2 id=\"environment\">Environment and sandbox</h2>\n" + page::table(t);
}

// The same commands as `kctl report show` prints, with the files that `kctl export` writes.
constexpr const char* kVerifyCommands =
    R"sh(tr -d '\n' <report.dsse.json | sed 's/.*"payload" *: *"\([^"]*\)".*/\1/' | base64 -d >payload.json
tr -d '\n' <report.dsse.json | sed 's/.*"sig" *: *"\([^"]*\)".*/\1/' | base64 -d >sig.bin
{ printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c <payload.json)"; cat payload.json; } >pae.bin
openssl pkeyutl -verify -pubin -inkey node-key.pem -rawin -in pae.bin -sigfile sig.bin
ssh-keygen -Y verify -f allowed_signers -I kiln -n tuning-report@kiln -s report.sshsig <payload.json
)sh";

std::string verify_section(const json::object& report) {
  std::string out =
      "<h2 id=\"verify\">How to verify</h2>\n<p>This page is for reading; what is signed is the statement, of which it "
      "shows the content. In "
      "the folder that <code>kctl export</code> writes for this job, with stock tools and no Kiln:</p>\n<pre>" +
      escaped(kVerifyCommands) + "</pre>\n<p><code>kctl replay " + text_at(report, "job") +
      "</code> runs the agents again over the recorded measurements; they must reach the same decisions, byte for "
      "byte.</p>\n";
  page::Table t{
      "What the statement speaks of, by SHA-256 (compare with <code>sha256sum</code> in the release directory)",
      {"What", "SHA-256"},
      {},
      {}};
  for (const json::value& item : array_at(report, "releases")) {
    const json::object& r = json::as_object(item, "release");
    add_row(t,
            fmt::format("release {} ({}): manifest.json", json::get_int(r, "version", "release"), text_at(r, "kind")),
            mono(text_at(r, "id")));
    for (const json::value& o : array_at(r, "objects"))
      add_row(t, "code object", mono(escaped(std::string(o.as_string()))));
  }
  if (!t.rows.empty()) out += page::table(t);
  const std::string checkpoint = json::get_string(report, "checkpoint", "report");
  if (!checkpoint.empty())
    out += "<details open><summary>Signed checkpoint of the ledger</summary><pre>" + escaped(checkpoint) +
           "</pre></details>\n";
  return out;
}

}  // namespace

std::string html(const json::object& report) {
  return head(report) + verdict(report) + decision_section(report) + "<h2 id=\"roofline\">Roofline</h2>\n" +
         page::roofline(report) + regions_section(report) + search_section(report) + failures_section(report) +
         "<h2 id=\"timeline\">Timeline</h2>\n" + page::timeline(array_at(report, "timeline")) +
         environment_section(report) + verify_section(report) + "</main></body></html>\n";
}

}  // namespace kiln::agents
