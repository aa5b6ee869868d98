// kilnd: the one place where the daemon is put together. Exit codes: options.h.
#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <csignal>
#include <cstdio>

#include "daemon/control/socket.h"
#include "daemon/kilnd/ground.h"
#include "daemon/kilnd/importer.h"
#include "daemon/kilnd/jobs.h"
#include "daemon/kilnd/life.h"
#include "daemon/kilnd/notify.h"
#include "daemon/kilnd/options.h"
#include "daemon/worker/bench_memory.h"
#include "runtime/base/error.h"

namespace {

using namespace kiln;
using namespace kiln::kilnd;

// The control socket: systemd's, or one of our own, whose file goes when this goes.
class ControlSocket {
 public:
  ControlSocket(const Settings& settings, bool user) : fd_(activated_socket()) {
    if (fd_) return;
    path_ = settings.socket;
    if (user) std::filesystem::create_directories(path_.parent_path());
    std::optional<gid_t> group;
    if (!settings.socket_group.empty()) group = resolve_group(settings.socket_group, "access.socket_group");
    fd_ = control::bind_socket(path_, user ? 0600 : 0660, group);
  }
  ~ControlSocket() { remove(); }
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  UniqueFd take() { return std::move(fd_); }
  void remove() {
    std::error_code ignored;  // ignoring: a stale file is replaced at the next start
    if (!path_.empty()) std::filesystem::remove(path_, ignored);
    path_.clear();
  }

 private:
  UniqueFd fd_;
  std::filesystem::path path_;
};

void lower_limits() {
  const rlimit none{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &none);  // a core would hold the key; ignoring: the unit says it as well
  std::signal(SIGPIPE, SIG_IGN);
}

int serve(const Options& options, const Settings& settings, Log& log) {
  if (!options.user) require_identity_map();
  const control::AccessRules access = resolve_access(settings);
  const UniqueFd lock = lock_state(settings.state);
  ControlSocket socket(settings, options.user);  // early: a taken socket must not cost a started job

  boost::asio::io_context io(1);
  const std::unique_ptr<store::Store> store = store::Store::open({settings.state});
  std::filesystem::create_directories(settings.state / "keys");
  const std::unique_ptr<store::SigningKey> key = store::SigningKey::load_or_create(settings.state / "keys/node.pem");
  store::NodeCorpus corpus(store::open_corpus(settings.corpus), *store);
  for (const store::NodeCorpus::Unused& unused : corpus.unused())
    log.warning("template " + unused.title + " of the site is not used: " + unused.cause);
  const policies::Policy policy = policies::load_policy(settings.policy);

  store::ObjectCache objects(settings.state / "objects", settings.object_cache_bytes);
  const JobEnvironment environment{*store, corpus, *key, settings.worker, settings.include, policy,
                                   settings.gpu_libraries, settings.gpu, std::make_shared<worker::BenchMemory>(),
                                   settings.corpus.parent_path() / "nodes", &objects};
  std::unique_ptr<control::JobControl> jobs = make_job_runner(environment);
  std::unique_ptr<control::ModelImporter> importer = make_importer(environment);

  std::function<void(const store::Event&)> on_event;
  control::ServerOptions server_options{
      settings.limits, access,
      [&log](const control::Notice& n) { log.write(n.warning ? Level::warning : Level::info, n.text); },
      [&on_event](const store::Event& e) {
        if (on_event) on_event(e);
      }};
  control::Server server(io, control::Services{*store, corpus, *key, policy, objects, *importer, *jobs},
                         std::move(server_options));
  Life life(io,
            {log, *store, server, *jobs, [&options] { return load_settings(options); }, [&socket] { socket.remove(); }},
            settings);
  on_event = [&life](const store::Event& e) { life.on_event(e); };
  server.listen(socket.take());
  life.start();
  log.info("ready on " + settings.socket.string() + ", state in " + settings.state.string(),
           {{"MESSAGE_ID", std::string(kMessageReady)}});

  io.run();  // until a signal has ended the life

  server.join();      // no more calls into jobs and importer ...
  importer.reset();   // ... which now pay the answers they owe
  jobs.reset();       // pauses a running job
  server.close();
  io.restart();
  io.run_for(std::chrono::seconds(2));  // the connections' coroutines end
  log.info("stopped");
  return static_cast<int>(Exit::ok);
}

}  // namespace

int main(int argc, char** argv) {
  Exit exit = Exit::ok;
  const std::optional<Options> options = parse_options(argc, argv, exit);
  if (!options) return static_cast<int>(exit);
  lower_limits();
  Log log(!options->foreground && Log::under_journal() ? Log::Sink::journal : Log::Sink::lines);
  try {
    const Settings settings = load_settings(*options);
    log.set_level(settings.level);
    if (options->check_config) {
      (void)resolve_access(settings);  // throws what is wrong
      std::puts("the configuration is good");
      return 0;
    }
    return serve(*options, settings, log);
  } catch (const Error& error) {
    log.error(error.what() + (error.remedy().empty() ? std::string() : "; " + error.remedy()));
    return static_cast<int>(exit_of(error.code()));
  } catch (const std::exception& error) {
    log.error(std::string("cannot go on: ") + error.what());
    return static_cast<int>(Exit::failed);
  }
}
