#include "runtime/release.h"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "runtime/base/cpu_features.h"
#include "runtime/failure.h"

namespace kiln::runtime {
namespace {

void check_cpu(const Plan& plan) {
  for (const std::string& feature : plan.cpu_features)
    if (!has_cpu_feature(feature))
      throw Failure(KILN_E_TARGET, "cannot run the plan '" + plan.name + "': this CPU has no " + feature);
  const bool tiles =
      std::find(plan.cpu_features.begin(), plan.cpu_features.end(), "amx_tile") != plan.cpu_features.end();
  if (tiles && !use_tiles())
    throw Failure(KILN_E_TARGET,
                  "cannot run the plan '" + plan.name + "': the system does not grant this process the tile registers");
}

template <class Function>
Function symbol(void* handle, const std::string& name) {
  void* found = ::dlsym(handle, name.c_str());
  if (!found) throw Failure(KILN_E_LOAD, "cannot find symbol '" + name + "' in its code object");
  return reinterpret_cast<Function>(found);
}

std::vector<Entry> resolve(const std::vector<Launch>& launches, const std::vector<Object>& objects) {
  std::vector<Entry> out;
  for (const Launch& l : launches) {
    void* handle = objects[static_cast<std::size_t>(l.object)].get();
    Entry e{symbol<kiln_kernel_fn>(handle, l.symbol), nullptr, nullptr};
    if (l.has_state) {
      e.create = symbol<kiln_create_fn>(handle, l.symbol + "_create");
      e.destroy = symbol<kiln_destroy_fn>(handle, l.symbol + "_destroy");
    }
    out.push_back(e);
  }
  return out;
}

// A plan has room for the scratch of as many threads as it was tuned for; more of them have memory of their own.
bool scratch_in_arena(const Release& release, const Launch& l) {
  return l.scratch_offset >= 0 && release.threads() <= release.plan().threads;
}

// Of the launches that have none in the arena.
std::int64_t largest_scratch(const Release& release, const std::vector<Launch>& launches) {
  std::int64_t bytes = 0;
  for (const Launch& l : launches)
    if (!scratch_in_arena(release, l)) bytes = std::max(bytes, l.scratch_bytes);
  return bytes;
}

}  // namespace

void CloseObject::operator()(void* handle) const { (void)::dlclose(handle); }

Release::Release(const Folder& folder, const kiln_options& options) : plan_(folder.plan), id_(folder.id) {
  if (options.threads < 0 || options.threads > 4096)
    throw Failure(KILN_E_ARGUMENT,
                  "cannot open the release: " + std::to_string(options.threads) + " threads asked for");
  threads_ = options.threads != 0 ? options.threads : plan_.threads;
  check_cpu(plan_);
  constants_ = folder.constants();
  load_objects(folder);
  prepare();
}

void Release::load_objects(const Folder& folder) {
  for (const std::string& digest : plan_.objects) {
    const std::string& path = folder.object(digest).path;
    // An absolute path: dlopen looks a bare name up in the system's folders.
    const std::string file = std::filesystem::absolute(folder.path / path).string();
    Object object(::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL));
    if (!object) {
      const char* why = ::dlerror();
      throw Failure(KILN_E_LOAD, "cannot load code object '" + path + "': " + (why ? why : "unknown cause"));
    }
    objects_.push_back(std::move(object));
  }
  prepare_entries_ = resolve(plan_.prepare, objects_);
  run_entries_ = resolve(plan_.run, objects_);
}

void Release::prepare() {
  prepared_ = Mapping::arena(plan_.prepared_bytes);
  if (!plan_.prepare.empty()) {
    const Mapping temporary = Mapping::arena(plan_.temporary_bytes);
    std::vector<std::byte*> where;
    for (const Buffer& b : plan_.buffers)
      where.push_back(b.kind == BufferKind::temporary ? temporary.data() + b.offset : address(b));
    Launcher(*this, plan_.prepare, prepare_entries_, temporary.data()).run(where, nullptr);
  }
  // Sessions share it: a run launch that writes here is a broken plan, and faults instead of corrupting its neighbour.
  prepared_.make_read_only();
}

std::byte* Release::address(const Buffer& b) const {
  if (b.kind == BufferKind::constant) return constants_.data() + b.offset;
  if (b.kind == BufferKind::prepared) return prepared_.data() + b.offset;
  return nullptr;
}

Launcher::Launcher(const Release& release, const std::vector<Launch>& launches, const std::vector<Entry>& entries,
                   std::byte* temporary)
    : launches_(launches), entries_(entries), pool_(release.threads(), largest_scratch(release, launches)) {
  std::size_t longest = 0;
  for (const Launch& l : launches) {
    longest = std::max(longest, l.args.size());
    scratch_.push_back(scratch_in_arena(release, l) ? temporary + l.scratch_offset : nullptr);
  }
  args_.resize(longest);
  try {
    create_states(release);
  } catch (...) {
    for (const State& s : states_) s.destroy(s.value);
    throw;
  }
}

namespace {

// The buffers of a launch that never change: a state may keep what it made of them, so launches with others have
// another.
std::vector<std::int32_t> constant_arguments(const Plan& plan, const Launch& launch) {
  std::vector<std::int32_t> out;
  for (const std::int32_t a : launch.args) {
    const BufferKind kind = plan.buffers[static_cast<std::size_t>(a)].kind;
    if (kind == BufferKind::constant || kind == BufferKind::prepared) out.push_back(a);
  }
  return out;
}

}  // namespace

void Launcher::create_states(const Release& release) {
  for (std::size_t i = 0; i < launches_.size(); ++i) {
    const Launch& l = launches_[i];
    launch_state_.push_back(nullptr);
    if (!l.has_state) continue;
    std::vector<std::int32_t> constants = constant_arguments(release.plan(), l);
    const auto known = std::find_if(states_.begin(), states_.end(), [&](const State& s) {
      return s.object == l.object && s.symbol == l.symbol && s.constants == constants;
    });
    if (known != states_.end()) {
      launch_state_.back() = known->value;
      continue;
    }
    void* value = entries_[i].create(release.threads());
    if (!value) throw Failure(KILN_E_LOAD, "cannot start '" + l.label + "': " + l.symbol + "_create failed");
    states_.push_back({l.object, l.symbol, std::move(constants), value, entries_[i].destroy});
    launch_state_.back() = value;
  }
}

Launcher::~Launcher() {
  for (const State& s : states_) s.destroy(s.value);
}

void Launcher::run(const std::vector<std::byte*>& address, double* launch_ns) {
  using Clock = std::chrono::steady_clock;
  for (std::size_t i = 0; i < launches_.size(); ++i) {
    const Launch& l = launches_[i];
    for (std::size_t a = 0; a < l.args.size(); ++a) args_[a] = address[static_cast<std::size_t>(l.args[a])];
    const ThreadPool::Work work{entries_[i].kernel, args_.data(), l.tasks, launch_state_[i], scratch_[i],
                                l.scratch_bytes};
    if (!launch_ns) {
      pool_.run(work);
      continue;
    }
    const auto begin = Clock::now();
    pool_.run(work);
    launch_ns[i] = std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
  }
}

}  // namespace kiln::runtime
