#include "daemon/worker/inside/candidate.h"

#include <fmt/format.h>

namespace kiln::worker {
namespace {

template <class Ask>
std::vector<kiln_tensor_info> infos(const kiln_release* release, int count, Ask ask) {
  std::vector<kiln_tensor_info> out(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) require_kiln(ask(release, i, &out[static_cast<std::size_t>(i)]));
  return out;
}

std::shared_ptr<kiln_release> opened(const std::string& directory, int threads, const void* device_constants) {
  kiln_options options = kiln_options_default();
  options.threads = threads;
  options.device_constants = device_constants;
  options.verify_digests = 0;  // its files are blobs, by the digests that the plan names, in a folder that is our own
  kiln_release* release = nullptr;
  require_kiln(kiln_open(directory.c_str(), &options, &release));
  return {release, kiln_close};
}

void require_windows(const char* what, const std::vector<kiln_tensor_info>& infos,
                     const std::vector<ArenaLayout::Window>& windows) {
  if (infos.size() != windows.size()) throw Refused{"the plan has other inputs or outputs than its graph"};
  for (std::size_t i = 0; i < infos.size(); ++i)
    if (static_cast<std::size_t>(infos[i].bytes) != windows[i].bytes)
      throw Refused{fmt::format("{} {} of the plan has another size than its graph's", what, i)};
}

}  // namespace

void require_kiln(kiln_status status) {
  if (status == KILN_OK) return;
  if (status == KILN_E_DEVICE) throw Faulted{kiln_last_error()};
  throw Refused{kiln_last_error()};
}

Candidate::Candidate(const std::string& directory, int threads, const void* device_constants)
    : Candidate(opened(directory, threads, device_constants)) {}

Candidate::Candidate(Release release) : release_(std::move(release)) {
  require_kiln(kiln_session_create(release_.get(), &session_));
}

std::unique_ptr<Candidate> Candidate::another() const { return std::unique_ptr<Candidate>(new Candidate(release_)); }

Candidate::~Candidate() {
  if (unloads_)
    kiln_session_destroy(session_);
  else
    (void)new Release(release_);  // stays open
}

void Candidate::require_sizes(const ArenaLayout& layout) const {
  require_windows("input", inputs(), layout.inputs);
  require_windows("output", outputs(), layout.outputs);
}

void Candidate::bind(std::byte* base, const ArenaLayout& layout) {
  require_sizes(layout);
  inputs_.clear();
  outputs_.clear();
  for (const ArenaLayout::Window& window : layout.inputs) add_input(base + window.offset);
  for (const ArenaLayout::Window& window : layout.outputs) add_output(base + window.offset);
}

std::vector<kiln_tensor_info> Candidate::inputs() const {
  return infos(release_.get(), kiln_input_count(release_.get()), kiln_input_info);
}

std::vector<kiln_tensor_info> Candidate::outputs() const {
  return infos(release_.get(), kiln_output_count(release_.get()), kiln_output_info);
}

graph::TensorType type_of(const kiln_tensor_info& info) {
  return {static_cast<graph::DType>(info.dtype), {info.shape, info.shape + info.rank}};
}

}  // namespace kiln::worker
