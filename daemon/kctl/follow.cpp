#include "daemon/kctl/follow.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <map>

#include "daemon/kctl/text.h"
#include "runtime/base/json.h"

namespace kiln::kctl {
namespace {

volatile std::sig_atomic_t interrupted = 0;

// While one exists, Ctrl-C ends the watching and not the program.
class InterruptGuard {
 public:
  InterruptGuard() {
    interrupted = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = 1; };
    (void)::sigaction(SIGINT, &action, &before_);  // cannot fail for a valid signal
  }
  ~InterruptGuard() { (void)::sigaction(SIGINT, &before_, nullptr); }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct sigaction before_ {};
};

std::size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

bool ended(std::string_view state) {
  return state == "done" || state == "failed" || state == "cancelled" || state == "paused";
}

class Screen {  // lines that are drawn over the ones before
 public:
  void draw(const std::vector<std::string>& lines) {
    std::string out = height_ > 0 ? fmt::format("\x1b[{}A\r", height_) : "\r";
    for (const std::string& line : lines) out += line + "\x1b[K\n";
    out += "\x1b[J";
    fmt::print(stderr, "{}", out);
    height_ = lines.size();
  }

 private:
  std::size_t height_ = 0;
};

std::string describe_memory(const json::value& v) {
  const json::object& memory = json::as_object(v, "the memory");
  const json::object& tuned = json::as_object(json::at(memory, "tuned", "the memory"), "the memory");
  const auto bytes = [](const json::object& of, std::string_view key) {
    return format_bytes(static_cast<double>(json::get_int(of, key, "the memory")));
  };
  return fmt::format("memory: {} while it runs (op by op {}), {} of weights and {} of weights in the kernels' layouts",
                     bytes(tuned, "working"), bytes(memory, "eager"), bytes(tuned, "weights"),
                     bytes(tuned, "prepared"));
}

std::string describe_ahead(const json::value& v) {
  const std::string what = "what was built";
  const json::object& ahead = json::as_object(v, what);
  const auto of = [&](std::string_view key) { return json::get_int(ahead, key, what); };
  return fmt::format("{} kernels for {} regions: {} compiled, {} built before, {} do not compile, {} are not "
                     "allowed or not possible",
                     of("kernels"), of("regions"), of("built"), of("from_cache"), of("failed"), of("skipped"));
}

std::string describe_objects(const json::value& v) {
  const json::object& objects = json::as_object(v, "the objects");
  return fmt::format("kernels: {} compiled, {} built before", json::get_int(objects, "built", "the objects"),
                     json::get_int(objects, "from_cache", "the objects"));
}

// What the policy's algebraic rewrites gained by themselves, and how often each rule was applied; nothing without them.
std::string describe_algebra(const json::value& v) {
  const std::string what = "the algebra";
  const json::object& algebra = json::as_object(v, what);
  if (algebra.empty()) return {};
  std::map<std::string, int> rules;
  for (const std::string& line : json::get_strings(algebra, "rewrites", what)) ++rules[line.substr(0, line.find(':'))];
  const json::object& gain = json::as_object(json::at(algebra, "speed_up", what), what);
  std::string out = fmt::format("of it by algebra: {:.2f}x, interval {:.2f}..{:.2f}: {}",
                                json::get_double(gain, "ratio", what), json::get_double(gain, "low", what),
                                json::get_double(gain, "high", what), json::get_string(gain, "comparison", what));
  for (const auto& [rule, count] : rules) out += fmt::format("\n  {} x{}", rule, count);
  return out;
}

}  // namespace

std::string describe_progress(const json::object& detail) {
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  if (const auto region = json::find_string(detail, "region", "progress")) add(*region);
  if (const auto text = json::find_string(detail, "detail", "progress"); text && !text->empty()) add(*text);
  if (const auto tried = json::find_int(detail, "tried", "progress")) add(fmt::format("{} tried", *tried));
  if (const auto failed = json::find_int(detail, "failed", "progress"); failed && *failed > 0)
    add(fmt::format("{} failed", *failed));
  if (const json::value* best = detail.if_contains("best_ns");
      best != nullptr && best->is_number() && best->to_number<double>() > 0)
    add("best " + format_ns(best->to_number<double>()));
  return out;
}

void PhaseTree::apply(const json::object& event) {
  if (json::get_string(event, "kind", "an event") != "job.progress") return;
  const std::int64_t at = json::get_int(event, "recorded_ns", "an event");
  const json::object& detail = json::as_object(json::at(event, "detail", "an event"), "the detail");
  const std::string name = json::get_string(detail, "phase", "progress");
  fraction_ = std::max(fraction_, json::get_double(detail, "fraction", "progress"));
  if (begin_ns_ == 0) begin_ns_ = at;
  if (phases_.empty() || phases_.back().name != name) {
    if (!phases_.empty()) phases_.back().end_ns = at;
    phases_.push_back({name, {}, at, 0});
  }
  const std::string text = describe_progress(detail);
  if (!text.empty()) phases_.back().detail = text;
}

std::vector<std::string> PhaseTree::lines(std::int64_t now_ns, std::size_t width) const {
  std::vector<std::string> out;
  for (const Phase& p : phases_) {
    const double took = static_cast<double>((p.end_ns != 0 ? p.end_ns : now_ns) - p.begin_ns) * 1e-9;
    const bool search = p.name.starts_with("search/");
    const std::string head = fmt::format("{} {}{:<8} {:>9}", p.end_ns != 0 ? "+" : ">", search ? "  " : "",
                                         search ? "search" : p.name, format_seconds(took));
    out.push_back(elide_middle(head + (p.detail.empty() ? "" : "  " + p.detail), width));
  }
  if (begin_ns_ == 0) return {elide_middle("waiting for the job to begin", width)};
  const double elapsed = static_cast<double>(now_ns - begin_ns_) * 1e-9;
  std::string last = fmt::format("{:3.0f} % after {}", 100 * fraction_, format_seconds(elapsed));
  if (fraction_ > 0.05 && fraction_ < 1)
    last += fmt::format(", about {} left", format_seconds(elapsed * (1 - fraction_) / fraction_));
  out.push_back(elide_middle(last, width));
  return out;
}

std::string PhaseTree::plain(const json::object& event) {
  const std::string kind = json::get_string(event, "kind", "an event");
  const json::object& detail = json::as_object(json::at(event, "detail", "an event"), "the detail");
  if (kind != "job.progress")
    return fmt::format("{} {} {}", kind, json::get_string(event, "subject", "an event"), json::canonical(detail));
  const std::string text = describe_progress(detail);
  return fmt::format("[{:3.0f} %] {}{}", 100 * json::get_double(detail, "fraction", "progress"),
                     json::get_string(detail, "phase", "progress"), text.empty() ? "" : ": " + text);
}

void print_result(const Session& session, const json::object& job) {
  const std::string id = json::get_string(job, "id", "the job");
  const json::object& result = json::as_object(json::at(job, "result", "the job"), "the result");
  if (const json::value* ahead = result.if_contains("ahead")) print_line(describe_ahead(*ahead));
  if (!result.contains("summary")) return;
  Table table({"REGION", "INCUMBENT", "WINNER", ">SPEED-UP", "INTERVAL", ">ERROR", "VERDICT", "VARIANT"});
  for (const json::value& v : json::as_array(result.at("summary"), "the summary")) {
    const json::object& row = json::as_object(v, "a row");
    const auto number = [&](std::string_view key) { return json::get_double(row, key, "a row"); };
    const std::string verdict = json::get_string(row, "verdict", "a row");
    table.add(
        {fmt::format("{} x{}", json::get_string(row, "label", "a row"), json::get_int(row, "occurrences", "a row")),
         format_ns(number("incumbent_ns")), format_ns(number("winner_ns")), fmt::format("{:.2f}x", number("speed_up")),
         fmt::format("{:.2f}..{:.2f}", number("low"), number("high")), fmt::format("{:.1e}", number("error")),
         session.paint(verdict == "faster" || verdict == "ok" ? "32" : "33", verdict),
         json::find_string(row, "variant", "a row").value_or("")});
  }
  fmt::print("{}", table.text());
  const json::object& total = json::as_object(json::at(result, "speed_up", "the result"), "the speed-up");
  print_line(fmt::format("\nwhole workload: {}x, interval {:.2f}..{:.2f}: {}",
                         session.paint("1", fmt::format("{:.2f}", json::get_double(total, "ratio", "the speed-up"))),
                         json::get_double(total, "low", "the speed-up"),
                         json::get_double(total, "high", "the speed-up"),
                         json::get_string(total, "comparison", "the speed-up")));
  if (const json::value* algebra = result.if_contains("algebraic"))
    if (const std::string text = describe_algebra(*algebra); !text.empty()) print_line(text);
  const json::object& decision = json::as_object(json::at(result, "decision", "the result"), "the decision");
  if (const auto reason = json::find_string(decision, "reason", "the decision")) print_line(*reason);
  const json::object& releases = json::as_object(json::at(result, "releases", "the result"), "the releases");
  const json::value* memory = result.if_contains("memory");
  if (memory != nullptr && releases.contains("tuned")) print_line(describe_memory(*memory));
  if (const json::value* objects = result.if_contains("objects")) print_line(describe_objects(*objects));
  say("\nnext:");
  const bool faster = json::find_string(decision, "comparison", "the decision") == "faster";
  const auto tuned = json::find_string(releases, "tuned", "the releases");
  const std::string_view force = faster ? "" : " --force   # it was not found faster";
  if (tuned) say(fmt::format("  kctl promote {}{}", short_id(*tuned), force));
  say(fmt::format("  kctl report show {0}\n  kctl export {0} DIR", id));
}

Exit follow(Session& session, const std::string& id) {
  const std::string target = "/v1/jobs/" + url_encode(id);
  json::object job = session.daemon().get(target);
  if (!ended(json::get_string(job, "state", "the job"))) {
    const InterruptGuard guard;
    EventStream stream(session.socket, "/v1/events?job=" + url_encode(id));
    PhaseTree tree;
    Screen screen;
    auto looked = std::chrono::steady_clock::now();
    for (bool over = false; !over;) {
      if (interrupted != 0) {
        say(fmt::format("\n{0} goes on; 'kctl watch {0}' comes back to it, 'kctl cancel {0}' stops it", id));
        return Exit::interrupted;
      }
      const auto message = stream.next(std::chrono::milliseconds(250));
      bool look = std::chrono::steady_clock::now() - looked >
                  std::chrono::seconds(5);  // an event may have gone before the state was set
      if (message) {
        const json::value v = json::parse(message->data, "an event");
        const json::object& event = json::as_object(v, "an event");
        look |= message->kind == "job.state";
        tree.apply(event);
        if (session.json) print_line(json::canonical(v));
        else if (!session.live) say(PhaseTree::plain(event));
      }
      if (session.live && !session.json) screen.draw(tree.lines(wall_ns(), terminal_width()));
      if (!look) continue;
      looked = std::chrono::steady_clock::now();
      job = session.daemon().get(target);
      over = ended(json::get_string(job, "state", "the job"));
    }
  }
  const std::string state = json::get_string(job, "state", "the job");
  if (session.json) print_json(job);
  else if (state == "done") print_result(session, job);
  else
    say(fmt::format(
        "{} is {}{}", id, state,
        json::get_string(job, "error", "the job").empty() ? "" : ": " + json::get_string(job, "error", "the job")));
  return state == "done" ? Exit::done : Exit::failed;
}

}  // namespace kiln::kctl
