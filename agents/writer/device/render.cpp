// Puts a GPU kernel's file together: what it is, the device headers, figures and tunables, the family's hooks, and
// the template's text as it stands in the corpus. The result includes nothing, so that a node needs no toolkit's
// headers.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/device/device.h"
#include "agents/writer/device/statistics.h"
#include "agents/writer/rendering.h"
#include "runtime/base/error.h"

namespace kiln::agents::writer::device {
namespace {

bool is_along_k(const store::TemplateSpec& spec) { return spec.name == "gemv_dot" || spec.name == "gemv_mma"; }
bool is_gemv(const store::TemplateSpec& spec) { return is_along_k(spec) || spec.name == "gemv_axpy"; }

struct Accepts {
  const store::TemplateSpec& spec;
  bool operator()(const PointwiseKernel& k) const {
    return spec.name == "tiles" ? accepts_tiles(k) : accepts_pointwise(k);
  }
  bool operator()(const RowKernel& k) const { return accepts_row(k); }
  bool operator()(const MatmulKernel& k) const {
    return spec.name == "gemv_mma" ? accepts_gemv_mma(k)
           : is_gemv(spec)         ? accepts_gemv(k, is_along_k(spec))
                                   : accepts_matmul(k);
  }
  bool operator()(const AttentionKernel& k) const { return accepts_attention(k); }
  bool operator()(const GatherKernel& k) const { return accepts_gather(k); }
  bool operator()(const ConcatKernel& k) const { return accepts_concat(k); }
  bool operator()(const ConvolutionKernel& k) const { return accepts_convolution(k); }
  bool operator()(const PadKernel& k) const { return accepts_pad(k); }
  bool operator()(const WindowKernel& k) const { return accepts_window(k) && (spec.name != "columns" || !k.positions); }
  bool operator()(const LineKernel& k) const {
    return spec.name == "scan" ? accepts_scan(k) : spec.name == "sort" ? accepts_sort(k) : accepts_arg(k);
  }
  bool operator()(const RecurrentKernel& k) const { return accepts_recurrent(k); }
  bool operator()(const auto&) const { return false; }  // no device template has that anchor
};

struct HooksOf {
  const store::TemplateSpec& spec;
  const Tunables& tunables;
  std::int64_t blocks, block_threads, parts;
  Hooks operator()(const PointwiseKernel& k) const {
    return spec.name == "tiles" ? tiles_hooks(k) : pointwise_hooks(k, tunables);
  }
  Hooks operator()(const RowKernel& k) const {
    return spec.name == "split"        ? split_row_hooks(k, tunables)
           : spec.name == "staged"     ? staged_row_hooks(k, tunables)
           : spec.name == "persistent" ? persistent_row_hooks(k, tunables, blocks)
                                       : row_hooks(k, tunables);
  }
  Hooks operator()(const MatmulKernel& k) const {
    return is_gemv(spec)            ? gemv_hooks(k, tunables, is_along_k(spec))
           : spec.name == "split_k" ? split_k_hooks(k, tunables, block_threads)
                                    : matmul_hooks(k, parts);
  }
  Hooks operator()(const AttentionKernel& k) const { return attention_hooks(k); }
  Hooks operator()(const GatherKernel& k) const { return gather_hooks(k); }
  Hooks operator()(const ConcatKernel& k) const { return concat_hooks(k); }
  Hooks operator()(const ConvolutionKernel& k) const { return convolution_hooks(k, parts); }
  Hooks operator()(const PadKernel& k) const { return pad_hooks(k); }
  Hooks operator()(const WindowKernel& k) const { return window_hooks(k); }
  Hooks operator()(const LineKernel& k) const {
    return spec.name == "scan" ? scan_hooks(k) : spec.name == "sort" ? sort_hooks(k) : arg_hooks(k);
  }
  Hooks operator()(const RecurrentKernel& k) const {
    return spec.name == "persistent" ? persistent_recurrent_hooks(k, tunables, blocks) : recurrent_hooks(k);
  }
  Hooks operator()(const auto&) const {
    throw Error(ErrorCode::unsupported, "cannot render " + title(spec) + ": no device template has that anchor");
  }
};

std::string headers(const store::TemplateSpec& spec) {
  std::string text;
  for (const std::string& name : spec.headers) text += spec.files.at(store::header_folder(spec) + name) + "\n";
  return text;
}

// Tunables of the device families are small counts: int, so that indices stay 32-bit where the region's do.
std::string small_constants(const store::TemplateSpec& spec, const Tunables& tunables) {
  std::string text;
  for (const store::Tunable& tunable : spec.tunables)
    text += fmt::format("constexpr int {} = {};  // {}\n", constant_name(tunable.name), tunables.at(tunable.name),
                        one_line(tunable.meaning));
  return text;
}

// Whether each kernel of the text waits for the launch before it: by KILN_ENTRY (types.cuh), from sm_90 on. A text that
// opens a kernel by itself, as a site's template may, does not.
bool waits_for_predecessor(const store::TemplateSpec& spec, const GpuFacts& gpu) {
  return gpu.cluster_launch && template_source(spec).find("__global__") == std::string::npos;
}

}  // namespace

bool accepts(const store::TemplateSpec& spec, const Kernel& kernel) {
  return accepts_statistics(spec, statistics_of(kernel)) && std::visit(Accepts{spec}, kernel);
}

RenderedKernel render(const store::TemplateSpec& spec, const Region& region, const Kernel& kernel,
                      const Variant& variant, const Figures& figures, const NodeFacts& node) {
  if (!node.gpu) throw Error(ErrorCode::unsupported, fmt::format("cannot render {}: the node has no GPU", title(spec)));
  const Tunables tunables = complete_tunables(spec, variant);
  check_constraints(spec, figures, tunables);
  const std::int64_t blocks = std::max<std::int64_t>(1, geometry(spec, "blocks", figures, tunables, 1));
  const std::int64_t block_threads = geometry(spec, "block_threads", figures, tunables, 1);
  const std::int64_t parts = geometry(spec, "parts", figures, tunables, kNoParts);
  const Hooks hooks = std::visit(HooksOf{spec, tunables, blocks, block_threads, parts}, kernel);
  const std::string symbol = "kiln_" + digest_of(variant).substr(0, 12);

  RenderedLaunch run;
  run.symbol = symbol;
  run.args = hooks.arguments.list();
  run.tasks = blocks;
  const bool cooperative = geometry(spec, "cooperative", figures, tunables, 0) != 0;
  run.geometry =
      Geometry{static_cast<std::int32_t>(block_threads), geometry(spec, "shared_bytes", figures, tunables, 0),
               static_cast<std::int32_t>(geometry(spec, "cluster", figures, tunables, 1)), cooperative,
               !cooperative && waits_for_predecessor(spec, *node.gpu)};

  RenderedKernel out;
  out.variant = variant;
  out.file_name = "kernel.cu";
  out.architecture = node.gpu->architecture;
  out.source = heading(region, spec, variant, tunables) +
               fmt::format("#define KILN_KERNEL {}\n\nnamespace {{\n\n", symbol) + "// The variant.\n" +
               small_constants(spec, tunables) + "\n" + headers(spec) + "\n// The region.\n" + hooks.figures + "\n" +
               hooks.code + "\n}  // namespace\n\n" + template_source(spec);
  out.temporary_bytes = hooks.temporary_bytes;
  for (int launch = 0; launch < hooks.launches; ++launch) {
    out.run.push_back(run);
    if (hooks.launches > 1) out.run.back().symbol = fmt::format("{}_{}", symbol, launch);
    if (launch == 0 || !hooks.following) continue;
    out.run.back().tasks = hooks.following->blocks;
    out.run.back().geometry->shared_bytes = hooks.following->shared_bytes;
  }
  return out;
}

}  // namespace kiln::agents::writer::device
