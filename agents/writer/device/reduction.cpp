#include "agents/writer/device/reduction.h"

#include <fmt/format.h>

#include "agents/writer/device/device.h"

namespace kiln::agents::writer::device {

using graph::ExprOp;

namespace {

const char* operation_of(ExprOp op) {
  switch (op) {
    case ExprOp::row_max:
      return "Greatest";
    case ExprOp::row_min:
      return "Least";
    case ExprOp::row_prod:
      return "Product";
    default:
      return "Sum";
  }
}

std::string identity_of(ExprOp op, const std::string& partial, bool floating) {
  switch (op) {
    case ExprOp::row_max:
      return floating ? fmt::format("-infinity<{}>()", partial) : fmt::format("Limits<{}>::low", partial);
    case ExprOp::row_min:
      return floating ? fmt::format("infinity<{}>()", partial) : fmt::format("Limits<{}>::high", partial);
    case ExprOp::row_prod:
      return partial + "(1)";
    default:
      return partial + "(0)";
  }
}

std::string result_of(const Reduction& r) {
  if (!r.sum_about.empty()) return fmt::format("shifted_sum(r{}, {}, kLength)", r.node, r.sum_about);
  if (!r.squares_about.empty()) return fmt::format("centred_squares(r{}, r{}, kLength)", r.sum, r.node);
  return fmt::format("sum_of(r{})", r.node);
}

std::string summand_of(const Reduction& r) {
  if (!r.sum_about.empty()) return fmt::format("{} - {}", r.element, r.sum_about);
  if (!r.squares_about.empty()) return fmt::format("({0} - {1}) * ({0} - {1})", r.element, r.squares_about);
  return r.element;
}

}  // namespace

ReductionText reduction_text(const Reduction& r, std::size_t slot) {
  const std::string operation = operation_of(r.op), type = partial_type(r.type);
  const bool compensated = r.compensated && operation == "Sum" && type == "f32";
  const std::string partial = compensated ? "Compensated" : type;
  ReductionText out;
  out.members = fmt::format("  {} r{} = {};\n", partial, r.node,
                            compensated ? "{0, 0}" : identity_of(r.op, type, graph::is_float(r.type)));
  out.warp = fmt::format("    r{0} = reduce_lanes<{1}, lanes>(r{0});\n", r.node, operation);
  out.put = fmt::format("    put(slots + {}, r{});\n", slot, r.node);
  out.take =
      fmt::format("    r{} = combine_slots<{}, {}>(slots + {}, count, stride);\n", r.node, operation, partial, slot);
  if (compensated) {
    out.before = fmt::format("    f32 v{}[kVector];\n", r.node);
    out.element = fmt::format("      v{}[e] = {};\n", r.node, summand_of(r));
    out.after = fmt::format("    r{0} = Sum::of(r{0}, tree_sum(v{0}));\n", r.node);
  } else {
    out.element =
        fmt::format("      r{0} = {1}::of(r{0}, static_cast<{2}>({3}));\n", r.node, operation, partial, r.element);
  }
  out.finish = fmt::format("    s.s{} = static_cast<{}>({});\n", r.node, value_type(r.type),
                           compensated ? result_of(r) : fmt::format("r{}", r.node));
  return out;
}

}  // namespace kiln::agents::writer::device
