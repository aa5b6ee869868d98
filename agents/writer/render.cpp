// Puts a kernel's file together: what it is, the figures and tunables, the vector functions it needs, the family's
// hooks, and the template's text as it stands in the corpus.
#include <fmt/format.h>

#include <algorithm>

#include "agents/writer/family.h"
#include "agents/writer/prelude.h"
#include "agents/writer/rendering.h"
#include "runtime/base/error.h"

namespace kiln::agents {
namespace {

using namespace writer;

struct Isa {
  std::int64_t bits;
  const char* march;
  std::vector<std::string> features;
};
const Isa& isa_of(std::int64_t bits) {
  static const Isa known[] = {
      {128, "-march=x86-64-v2", {}},
      {256, "-march=haswell", {"avx2", "fma", "bmi1", "bmi2", "f16c"}},
      {512,
       "-march=x86-64-v4",
       {"avx2", "fma", "bmi1", "bmi2", "f16c", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}}};
  for (const Isa& isa : known)
    if (isa.bits == bits) return isa;
  throw Error(ErrorCode::invalid_input, fmt::format("cannot render for isa {}: it is 128, 256 or 512", bits));
}

struct HooksOf {
  const store::TemplateSpec& spec;
  const Tunables& tunables;
  Hooks operator()(const PointwiseKernel& k) const { return pointwise_hooks(spec, k, tunables); }
  Hooks operator()(const RowKernel& k) const { return row_hooks(k, tunables); }
  Hooks operator()(const MatmulKernel& k) const { return matmul_hooks(spec, k, tunables); }
  Hooks operator()(const AttentionKernel& k) const { return attention_hooks(k); }
  Hooks operator()(const GatherKernel& k) const { return gather_hooks(k); }
  Hooks operator()(const ConcatKernel& k) const { return concat_hooks(k); }
  Hooks operator()(const ConvolutionKernel& k) const { return convolution_hooks(spec, k, tunables); }
  Hooks operator()(const WindowKernel& k) const { return window_hooks(k); }
  Hooks operator()(const PadKernel& k) const { return pad_hooks(k); }
  Hooks operator()(const LineKernel& k) const { return line_hooks(k); }
  Hooks operator()(const ScatterKernel& k) const { return scatter_hooks(k); }
  Hooks operator()(const RecurrentKernel& k) const { return recurrent_hooks(k); }
};

struct Accepts {
  const store::TemplateSpec& spec;
  bool operator()(const PointwiseKernel& k) const { return accepts_pointwise(spec, k); }
  bool operator()(const RowKernel& k) const { return accepts_row(spec, k); }
  bool operator()(const MatmulKernel& k) const { return accepts_matmul(spec, k); }
  bool operator()(const AttentionKernel& k) const { return accepts_attention(spec, k); }
  bool operator()(const GatherKernel& k) const { return accepts_gather(spec, k); }
  bool operator()(const ConcatKernel& k) const { return accepts_concat(spec, k); }
  bool operator()(const ConvolutionKernel& k) const { return accepts_convolution(spec, k); }
  bool operator()(const WindowKernel& k) const { return accepts_window(spec, k); }
  bool operator()(const PadKernel& k) const { return accepts_pad(spec, k); }
  bool operator()(const LineKernel& k) const { return accepts_line(spec, k); }
  bool operator()(const ScatterKernel& k) const { return accepts_scatter(spec, k); }
  bool operator()(const RecurrentKernel& k) const { return accepts_recurrent(spec, k); }
};

// Beyond what `isa` says: what a template needs of the processor and how the compiler is told.
constexpr std::pair<const char*, const char*> kExtensions[] = {
    {"amx_tile", "-mamx-tile"},
    {"amx_bf16", "-mamx-bf16"},
    {"amx_int8", "-mamx-int8"},
    {"avx512_bf16", "-mavx512bf16"},
    {"avx512_vnni", "-mavx512vnni"}};

void add_extensions(const store::TemplateSpec& spec, RenderedKernel& out) {
  for (const auto& [feature, flag] : kExtensions) {
    if (std::find(spec.cpu_features.begin(), spec.cpu_features.end(), feature) == spec.cpu_features.end()) continue;
    out.compile_flags.emplace_back(flag);
    out.cpu_features.emplace_back(feature);
  }
  // GCC 12 warns of its own intrinsics (GCC bug 105593).
  if (!spec.cpu_features.empty())
    out.compile_flags.insert(out.compile_flags.end(), {"-Wno-uninitialized", "-Wno-maybe-uninitialized"});
}

std::string cpu_source(const store::TemplateSpec& spec, const Hooks& hooks, const Tunables& tunables,
                       const std::string& symbol, const std::string& head) {
  std::string text =
      head + (spec.cpu_features.empty() ? "" : "#include <immintrin.h>\n\n") +
      "#include <cmath>\n#include <cstdint>\n#include <limits>\n#include <type_traits>\n#include <utility>\n\n"
      "#include \"runtime/kernel_abi.h\"\n\n";
  text += fmt::format("#define KILN_KERNEL {}\n", symbol);
  if (!hooks.prepare_arguments.list().empty()) text += fmt::format("#define KILN_PACK {}_pack\n", symbol);
  if (!hooks.weight_arguments.list().empty()) text += fmt::format("#define KILN_PACK_WEIGHTS {}_weights\n", symbol);
  text += "\nnamespace {\n\n// The region.\n" + hooks.figures + "\n// The variant.\n" +
          tunable_constants(spec, tunables) + "\n";
  const bool vectors = hooks.form == Form::vector;
  constexpr const char* kOneLane = "constexpr int kLanes = 1;  // types that fill no lanes: one element at a time\n";
  text += vectors ? vector_prelude(lanes_of(tunables)) : kOneLane + scalar_prelude();
  if (hooks.half) text += half_prelude(vectors);
  if (hooks.integers) text += integer_prelude();
  if (vectors) text += vector_functions(hooks.functions);
  text += "\n" + hooks.code + "\n";
  for (const std::string& name : spec.headers) text += spec.files.at(store::header_folder(spec) + name) + "\n";
  return text + template_source(spec);
}

std::string vendor_source(const store::TemplateSpec& spec, const Hooks& hooks, const std::string& symbol,
                          const std::string& head, const RenderedLaunch& run) {
  return head +
         fmt::format("#define KILN_KERNEL {0}\n#define KILN_CREATE {0}_create\n#define KILN_DESTROY {0}_destroy\n\n",
                     symbol) +
         onednn_prelude(run.tasks, run.scratch_bytes) + hooks.figures + "\n" + template_source(spec) + onednn_entries();
}

// The launch that packs, before the one that computes: in prepare when what it packs is constant.
void add_packing(RenderedKernel& out, Hooks& hooks, const store::TemplateSpec& spec, const Figures& figures,
                 const Tunables& tunables, const std::string& symbol) {
  const std::int64_t bytes = geometry(spec, "packed_bytes", figures, tunables, 0);
  const auto kind = hooks.packs_once ? RenderedArg::Kind::prepared : RenderedArg::Kind::temporary;
  (hooks.packs_once ? out.prepared_bytes : out.temporary_bytes).push_back(bytes);
  hooks.prepare_arguments.of(kind, 0);
  RenderedLaunch pack;
  pack.symbol = symbol + "_pack";
  pack.args = hooks.prepare_arguments.list();
  pack.tasks = geometry(spec, "pack_tasks", figures, tunables, 1);
  pack.scratch_bytes = geometry(spec, "pack_scratch_bytes", figures, tunables, 0);
  (hooks.packs_once ? out.prepare : out.run).push_back(std::move(pack));
}

// Weights of a template whose other operand is packed before each run.
void add_weights(RenderedKernel& out, const Hooks& hooks, const store::TemplateSpec& spec, const Figures& figures,
                 const Tunables& tunables, const std::string& symbol) {
  out.prepared_bytes.push_back(geometry(spec, "prepared_bytes", figures, tunables, 0));
  RenderedLaunch pack;
  pack.symbol = symbol + "_weights";
  pack.args = hooks.weight_arguments.list();
  pack.tasks = geometry(spec, "prepare_tasks", figures, tunables, 1);
  out.prepare.push_back(std::move(pack));
}

}  // namespace

bool accepts(const store::TemplateSpec& spec, const Kernel& kernel) {
  if (spec.anchor != anchor(kernel)) return false;
  if (spec.target != "cpu") return writer::device::accepts(spec, kernel);
  if (statistics_of(kernel) != nullptr) return false;
  return spec.vendor ? accepts_onednn(spec, kernel) : std::visit(Accepts{spec}, kernel);
}

RenderedKernel render(const store::TemplateSpec& spec, const Region& region, const Kernel& kernel,
                      const Variant& variant, const Figures& figures, const NodeFacts& node) {
  if (!accepts(spec, kernel))
    throw Error(ErrorCode::unsupported, fmt::format("cannot render {} for '{}': the template does not compute it",
                                                    title(spec), one_line(region.label)));
  if (spec.target != "cpu") return writer::device::render(spec, region, kernel, variant, figures, node);
  const Tunables tunables = complete_tunables(spec, variant);
  check_constraints(spec, figures, tunables);

  Hooks hooks = spec.vendor ? onednn_hooks(spec, kernel) : std::visit(HooksOf{spec, tunables}, kernel);
  const std::string symbol = "kiln_" + digest_of(variant).substr(0, 12);
  const std::string head = heading(region, spec, variant, tunables);

  RenderedKernel out;
  out.variant = variant;
  out.file_name = "kernel.cpp";
  if (!hooks.prepare_arguments.list().empty()) add_packing(out, hooks, spec, figures, tunables, symbol);
  if (!hooks.weight_arguments.list().empty()) add_weights(out, hooks, spec, figures, tunables, symbol);
  RenderedLaunch run;
  run.symbol = symbol;
  run.args = hooks.arguments.list();
  run.tasks = std::max<std::int64_t>(1, geometry(spec, "tasks", figures, tunables, 1));
  run.scratch_bytes = geometry(spec, "scratch_bytes", figures, tunables, 0);
  run.library_bytes = geometry(spec, "library_bytes", figures, tunables, 0);
  run.has_state = spec.vendor;
  out.source = spec.vendor ? vendor_source(spec, hooks, symbol, head, run)
                           : cpu_source(spec, hooks, tunables, symbol, head);
  out.run.push_back(std::move(run));

  out.compile_flags = {"-std=c++20", "-O3"};
  if (spec.vendor) {
    out.compile_flags = {"-std=c++20", "-O2"};
    out.libraries = spec.libraries;
  } else {
    const Isa& isa = isa_of(static_cast<std::int64_t>(lanes_of(tunables)) * 32);
    out.compile_flags.insert(out.compile_flags.end(),
                             {isa.march, "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"});
    out.cpu_features = isa.features;
    add_extensions(spec, out);
  }
  return out;
}

}  // namespace kiln::agents
