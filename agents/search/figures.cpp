// The figures of docs/template-format.md, from a lowered kernel and the node.
#include <algorithm>
#include <cctype>

#include "agents/region/padded_layout.h"
#include "agents/search/search.h"

namespace kiln::agents {
namespace {

double product(const graph::Shape& shape) {
  double count = 1;
  for (const std::int64_t extent : shape) count *= static_cast<double>(extent);
  return count;
}

// One FLOP per arithmetic node of the expression; operands, constants and casts are free.
double operations(const graph::Expr& expr) {
  return static_cast<double>(std::count_if(expr.nodes.begin(), expr.nodes.end(), [](const graph::ExprNode& node) {
    return node.op != graph::ExprOp::operand && node.op != graph::ExprOp::constant && node.op != graph::ExprOp::cast;
  }));
}

// Fewest bytes that an access moves over `space`: a dimension of stride 0 is read once.
double bytes_of(const Access& access, const graph::Shape& space) {
  double count = 1;
  for (std::size_t d = 0; d < space.size() && d < access.strides.size(); ++d)
    if (access.strides[d] != 0) count *= static_cast<double>(space[d]);
  return count * static_cast<double>(graph::size_of(access.type));
}

double bytes_of(const std::vector<Access>& accesses, const graph::Shape& space) {
  double bytes = 0;
  for (const Access& access : accesses) bytes += bytes_of(access, space);
  return bytes;
}

std::size_t widest_element(const std::vector<Access>& accesses) {
  std::size_t widest = 1;
  for (const Access& access : accesses) widest = std::max(widest, graph::size_of(access.type));
  return widest;
}

graph::Shape extended(graph::Shape batch, std::initializer_list<std::int64_t> extents) {
  batch.insert(batch.end(), extents);
  return batch;
}

struct OfKernel {
  Figures& f;

  void operator()(const PointwiseKernel& k) const {
    f["elements"] = product(k.space);
    f["rank"] = static_cast<double>(k.space.size());
    f["inner"] = k.space.empty() ? 1 : static_cast<double>(k.space.back());
    f["flops"] = operations(k.expr) * f["elements"];
    f["bytes"] = bytes_of(k.reads, k.space) + bytes_of(k.writes, k.space);
    const std::optional<Transposed> transposed = transposed_reads(k);
    f["down"] = transposed ? static_cast<double>(k.space[transposed->dimension]) : 1;
    f["planes"] = f["elements"] / f["inner"] / f["down"];
    f["transposed_bytes"] = 0;
    for (std::size_t i = 0; transposed && i < transposed->reads.size(); ++i)
      f["transposed_bytes"] += static_cast<double>(graph::size_of(k.reads[transposed->reads[i]].type));
    f["max_vector"] = static_cast<double>(widest_vector(k));
    f["widest_bytes"] = static_cast<double>(std::max(widest_element(k.reads), widest_element(k.writes)));
    f["operand_bytes"] = 0;
    for (const Access& read : k.reads)
      if (!read.strides.empty() && read.strides.back() != 0)
        f["operand_bytes"] += static_cast<double>(graph::size_of(read.type));
  }
  void operator()(const RowKernel& k) const {
    graph::Shape space = k.outer;
    for (const std::int64_t extent : along_of(k)) space.push_back(extent);
    f["outer"] = product(k.outer);
    f["length"] = static_cast<double>(k.length);
    f["elements"] = product(space);
    f["reductions"] =
        static_cast<double>(std::count_if(k.expr.nodes.begin(), k.expr.nodes.end(), [](const graph::ExprNode& node) {
          return node.op >= graph::ExprOp::row_sum && node.op <= graph::ExprOp::row_prod;
        }));
    f["flops"] = operations(k.expr) * f["elements"];
    f["bytes"] = bytes_of(k.reads, space);
    for (std::size_t i = 0; i < k.writes.size(); ++i)
      f["bytes"] += bytes_of(k.writes[i], i < k.write_per_row.size() && k.write_per_row[i] ? k.outer : space);
    f["max_vector"] = static_cast<double>(widest_vector(k));
    f["widest_bytes"] = static_cast<double>(std::max(widest_element(k.reads), widest_element(k.writes)));
    f["row_bytes"] = 0;
    f["row_stride"] = 0;
    f["own_bytes"] = 0;
    for (const Access& read : k.reads) {
      if (read.strides.empty() || read.strides.back() == 0) continue;
      f["row_bytes"] += f["length"] * static_cast<double>(graph::size_of(read.type));
      f["row_stride"] = std::max(f["row_stride"], static_cast<double>(read.strides.back()));
      if (is_own(k, read)) f["own_bytes"] += f["length"] * static_cast<double>(graph::size_of(read.type));
    }
  }
  void operator()(const MatmulKernel& k) const {
    const graph::Shape out = extended(k.batch, {k.m, k.n});
    f["batch"] = product(k.batch);
    f["m"] = static_cast<double>(k.m);
    f["n"] = static_cast<double>(k.n);
    f["k"] = static_cast<double>(k.k);
    f["statistics"] = k.statistics ? 1 : 0;
    f["b_is_weight"] = k.b_is_weight ? 1 : 0;
    const Streamed roles = streamed(k);
    f["many"] = static_cast<double>(roles.many);
    f["few"] = static_cast<double>(roles.few);
    f["vector_along_k"] = static_cast<double>(roles.vector_along_k);
    f["vector_across"] = static_cast<double>(roles.vector_across);
    f["widest_bytes"] = static_cast<double>(std::max(graph::size_of(k.a.type), graph::size_of(k.b.type)));
    f["elements"] = product(out);
    f["flops"] = 2 * f["elements"] * f["k"] + operations(k.epilogue) * f["elements"];
    f["bytes"] = bytes_of(k.a, extended(k.batch, {k.m, k.k})) + bytes_of(k.b, extended(k.batch, {k.k, k.n})) +
                 bytes_of(k.reads, out) + bytes_of(k.writes, out);
  }
  void operator()(const AttentionKernel& k) const {
    f["batch"] = product(k.batch);
    f["s"] = static_cast<double>(k.s);
    f["t"] = static_cast<double>(k.t);
    f["d"] = static_cast<double>(k.d);
    f["e"] = static_cast<double>(k.e);
    f["has_mask"] = k.mask ? 1 : 0;
    f["v_column"] = k.v.strides.empty() ? 0 : static_cast<double>(k.v.strides.back());
    f["q_direct"] = k.q.type == graph::DType::f32 && !k.q.strides.empty() && k.q.strides.back() == 1 ? 1 : 0;
    f["v_widened"] = k.v.type == graph::DType::f32 ? 0 : 1;
    f["causal"] = k.causal ? 1 : 0;
    f["elements"] = f["batch"] * f["s"] * f["e"];
    // Two products, and per score: scale, maximum, subtraction, exponential, sum.
    f["flops"] = f["batch"] * f["s"] * f["t"] * (2 * f["d"] + 2 * f["e"] + 5);
    f["bytes"] = bytes_of(k.q, extended(k.batch, {k.s, k.d})) + bytes_of(k.k, extended(k.batch, {k.t, k.d})) +
                 bytes_of(k.v, extended(k.batch, {k.t, k.e})) + bytes_of(k.out, extended(k.batch, {k.s, k.e}));
    if (k.mask) f["bytes"] += bytes_of(*k.mask, extended(k.batch, {k.s, k.t}));
  }
  void operator()(const GatherKernel& k) const {
    const graph::Shape out = {k.outer, k.index_count, k.inner};
    f["outer"] = static_cast<double>(k.outer);
    f["axis"] = static_cast<double>(k.axis);
    f["inner"] = static_cast<double>(k.inner);
    f["index_count"] = static_cast<double>(k.index_count);
    f["elements"] = product(out);
    f["flops"] = operations(k.epilogue) * f["elements"];
    // Only the gathered rows of the table are read.
    f["bytes"] = f["elements"] * static_cast<double>(graph::size_of(k.data.type)) +
                 bytes_of(k.indices, {k.index_count}) + bytes_of(k.reads, out) + bytes_of(k.writes, out);
  }
  void operator()(const ConcatKernel& k) const {
    f["sources"] = static_cast<double>(k.sources.size());
    f["elements"] = product(k.space);
    f["flops"] = 0;
    f["bytes"] = 2 * bytes_of(k.write, k.space);
  }
  void operator()(const ConvolutionKernel& k) const {
    f["images"] = static_cast<double>(k.n);
    f["groups"] = static_cast<double>(k.groups);
    f["m"] = static_cast<double>(k.m);
    f["c"] = static_cast<double>(k.c);
    f["taps"] = product(k.window);
    f["rank"] = static_cast<double>(k.out.size());
    f["transposed"] = k.transposed ? 1 : 0;
    const PaddedLayout layout(k);
    f["positions"] = static_cast<double>(layout.positions);
    f["padded"] = static_cast<double>(layout.channel);
    const PaddedLayout folded(k, true);
    f["positions_folded"] = static_cast<double>(folded.positions);
    f["padded_folded"] = static_cast<double>(folded.channel);
    f["window_width"] = k.window.empty() ? 1 : static_cast<double>(k.window.back());
    f["lines"] = static_cast<double>(layout.lines());
    f["width"] = layout.extents.empty() ? 0 : static_cast<double>(layout.extents.back());
    f["joined"] = layout.out_phases.empty() ? 1 : static_cast<double>(layout.out_phases.back());
    f["elements"] = f["images"] * f["groups"] * f["m"] * product(k.out);
    const std::size_t rank = k.out.size();
    f["rows"] = rank > 1 ? static_cast<double>(k.out[rank - 2]) : 1;
    f["row_step"] = rank > 1 ? static_cast<double>(k.steps.strides[rank - 2]) : 1;
    f["row_reach"] = rank > 1 ? static_cast<double>((k.window[rank - 2] - 1) * k.steps.dilations[rank - 2]) : 0;
    const ConvolutionPhases phases(k);
    f["phases"] = product(phases.count);
    f["statistics"] = k.statistics ? 1 : 0;
    f["stretches"] = k.statistics ? f["images"] : 1;
    f["columns"] = static_cast<double>(k.n) * product(phases.out);
    f["widest_bytes"] = static_cast<double>(graph::size_of(k.x.type));
    // A transposed convolution multiplies once per input element and tap.
    f["flops"] = 2 * f["images"] * f["groups"] * f["m"] * f["c"] * f["taps"] * product(k.transposed ? k.in : k.out) +
                 operations(k.epilogue) * f["elements"];
    graph::Shape out = {k.n, k.groups, k.m}, x = {k.n, k.groups, k.c}, w = {k.groups, k.m, k.c};
    out.insert(out.end(), k.out.begin(), k.out.end());
    x.insert(x.end(), k.in.begin(), k.in.end());
    w.insert(w.end(), k.window.begin(), k.window.end());
    f["bytes"] = bytes_of(k.x, x) + bytes_of(k.w, w) + bytes_of(k.reads, out) + bytes_of(k.writes, out);
  }
  void operator()(const WindowKernel& k) const {
    const double results = static_cast<double>(k.outer) * product(k.op.extents);
    f["outer"] = static_cast<double>(k.outer);
    f["elements"] = results;
    f["inner"] = static_cast<double>(k.op.extents.back());
    f["taps"] = product(k.op.kernel);
    const std::size_t rank = k.op.kernel.size();
    const auto above = [&](const graph::Shape& of, std::int64_t without) {
      return static_cast<double>(rank > 1 ? of[rank - 2] : without);
    };
    f["rows"] = above(k.op.extents, 1);
    f["row_step"] = above(k.op.steps.strides, 1);
    f["row_reach"] = (above(k.op.kernel, 1) - 1) * above(k.op.steps.dilations, 1);
    f["column_step"] = static_cast<double>(k.op.steps.strides.back());
    f["column_reach"] = static_cast<double>((k.op.kernel.back() - 1) * k.op.steps.dilations.back());
    f["flops"] = results * f["taps"];
    graph::Shape x = {k.outer};
    x.insert(x.end(), k.in.begin(), k.in.end());
    f["max_vector"] = static_cast<double>(widest_vector(PointwiseKernel{x, {k.x}, {}, {}}));
    f["widest_bytes"] = static_cast<double>(graph::size_of(k.x.type));
    f["bytes"] = bytes_of(k.x, x) + (k.values ? results * static_cast<double>(graph::size_of(k.values->type)) : 0) +
                 (k.positions ? results * 8 : 0);
  }
  void operator()(const PadKernel& k) const {
    f["elements"] = product(k.out);
    f["inner"] = k.out.empty() ? 1 : static_cast<double>(k.out.back());
    f["flops"] = 0;
    f["bytes"] = (product(k.in) + product(k.out)) * static_cast<double>(graph::size_of(k.x.type));
  }
  void operator()(const LineKernel& k) const {
    const double lines = static_cast<double>(k.before) * static_cast<double>(k.after);
    f["before"] = static_cast<double>(k.before);
    f["length"] = static_cast<double>(k.length);
    f["after"] = static_cast<double>(k.after);
    f["elements"] = lines * f["length"];
    f["flops"] = f["elements"] * (1 + operations(k.prologue));
    const auto* top = std::get_if<graph::TopK>(&k.op);
    f["kept"] = top ? static_cast<double>(top->k) : std::holds_alternative<graph::Arg>(k.op) ? 1 : f["length"];
    f["bytes"] = bytes_of(k.reads, {k.before, k.length, k.after});
    f["sorts"] = top ? 1 : 0;
    f["max_vector"] = static_cast<double>(widest_vector(k));
    std::size_t widest = graph::size_of(element_type(k));
    for (const Access& read : k.reads) widest = std::max(widest, graph::size_of(read.type));
    f["widest_bytes"] = static_cast<double>(widest);
    if (k.values) f["bytes"] += lines * f["kept"] * static_cast<double>(graph::size_of(k.values->type));
    if (k.places) f["bytes"] += lines * f["kept"] * 8;
  }
  void operator()(const ScatterKernel& k) const {
    f["rows"] = static_cast<double>(k.rows);
    f["inner"] = static_cast<double>(k.inner);
    f["index_count"] = static_cast<double>(k.count);
    f["elements"] = f["rows"] * f["inner"];
    f["flops"] = k.combine == graph::Combine::replace ? 0 : f["index_count"] * f["inner"];
    f["bytes"] =
        (2 * f["elements"] + f["index_count"] * f["inner"]) * static_cast<double>(graph::size_of(k.data.type)) +
        f["index_count"] * static_cast<double>(graph::size_of(k.indices.type));
  }
  void operator()(const RecurrentKernel& k) const {
    const double gates = k.op.cell == graph::Cell::rnn ? 1 : k.op.cell == graph::Cell::gru ? 3 : 4;
    f["steps"] = static_cast<double>(k.steps);
    f["batch"] = static_cast<double>(k.batch);
    f["hidden"] = static_cast<double>(k.hidden);
    f["gates"] = gates;
    f["elements"] = f["steps"] * f["batch"] * f["hidden"];
    f["flops"] = f["elements"] * gates * (2 * f["hidden"] + 3);
    const auto width = static_cast<std::int64_t>(graph::size_of(k.inputs[0].type));
    f["bytes"] = static_cast<double>(width) * (f["elements"] * (gates + 1) + gates * f["hidden"] * f["hidden"]);
    f["widest_bytes"] = static_cast<double>(width);
    std::int64_t vector = 16 / width;  // of a unit's weights, which buffers begin on 16 bytes
    while (k.hidden % vector != 0 || k.inputs[1].offset % vector != 0) vector /= 2;
    f["max_vector"] = static_cast<double>(vector);
  }
};

std::string feature_figure(const std::string& feature) {
  std::string name = "has_" + feature;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

}  // namespace

Figures figures_of(const Kernel& kernel, const NodeFacts& node, std::int32_t threads) {
  Figures f;
  std::visit(OfKernel{f}, kernel);
  f["threads"] = threads;
  f["cores"] = node.cores;
  f["l1d_bytes"] = static_cast<double>(node.l1d_bytes);
  f["l2_bytes"] = static_cast<double>(node.l2_bytes);
  f["l3_bytes"] = static_cast<double>(node.l3_bytes);
  for (const char* feature : {"avx2", "fma", "avx512f", "amx_bf16"}) f[feature_figure(feature)] = 0;
  for (const std::string& feature : node.features) f[feature_figure(feature)] = 1;
  f["vector_bytes"] = f["has_avx512f"] != 0 ? 64 : f["has_avx2"] != 0 ? 32 : 16;
  f["vector_lanes"] = f["vector_bytes"] / 4;
  if (node.gpu) {
    const GpuFacts& gpu = *node.gpu;
    f["multiprocessors"] = gpu.multiprocessors;
    f["threads_per_multiprocessor"] = gpu.threads_per_multiprocessor;
    f["registers_per_multiprocessor"] = gpu.registers_per_multiprocessor;
    f["shared_per_multiprocessor"] = static_cast<double>(gpu.shared_per_multiprocessor_bytes);
    f["shared_per_block"] = static_cast<double>(gpu.shared_per_block_bytes);
    f["l2_bytes"] = static_cast<double>(gpu.l2_bytes);
    f["has_clusters"] = gpu.cluster_launch ? 1 : 0;
  }
  return f;
}

}  // namespace kiln::agents
