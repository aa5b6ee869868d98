#include "runtime/session.h"

#include <cstring>

namespace kiln::runtime {
namespace {

constexpr std::uintptr_t alignment = 64;

bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % alignment == 0; }

}  // namespace

Session::Session(const Release& release)
    : release_(release),
      temporary_(Mapping::arena(release.plan().temporary_bytes)),
      launcher_(release, release.plan().run, release.run_entries(), temporary_.data()) {
  const Plan& plan = release.plan();
  std::int64_t total = 0;
  for (const auto* tensors : {&plan.inputs, &plan.outputs}) {
    for (const Tensor& t : *tensors) {
      bounce_offset_.push_back(total);
      total += (t.bytes + 63) / 64 * 64;
    }
  }
  bounce_ = Mapping::arena(total);
  for (const Buffer& b : plan.buffers) {
    if (b.kind == BufferKind::input || b.kind == BufferKind::output) callers_buffers_.push_back(address_.size());
    address_.push_back(b.kind == BufferKind::temporary ? temporary_.data() + b.offset : release.address(b));
  }
}

std::byte* Session::place(const void* callers, std::size_t bounce) const {
  if (!aligned(callers)) return bounce_.data() + bounce_offset_[bounce];
  return static_cast<std::byte*>(const_cast<void*>(callers));  // kernels take void* const* for inputs and outputs alike
}

void Session::run(const void* const* inputs, void* const* outputs, double* launch_ns) {
  const Plan& plan = release_.plan();
  const std::size_t input_count = plan.inputs.size();
  for (std::size_t i = 0; i < input_count; ++i)
    if (!aligned(inputs[i]))
      std::memcpy(bounce_.data() + bounce_offset_[i], inputs[i], static_cast<std::size_t>(plan.inputs[i].bytes));
  for (const std::size_t id : callers_buffers_) {
    const Buffer& b = plan.buffers[id];
    const auto index = static_cast<std::size_t>(b.index);
    address_[id] =
        b.kind == BufferKind::input ? place(inputs[index], index) : place(outputs[index], input_count + index);
  }
  launcher_.run(address_, launch_ns);
  for (std::size_t i = 0; i < plan.outputs.size(); ++i)
    if (!aligned(outputs[i]))
      std::memcpy(outputs[i], bounce_.data() + bounce_offset_[input_count + i],
                  static_cast<std::size_t>(plan.outputs[i].bytes));
}

}  // namespace kiln::runtime
