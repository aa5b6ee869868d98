"""A problem's model as an ONNX file, with the arithmetic that the benchmark runs: in train mode, nothing folded."""

import hashlib
import json

import torch
from torch.onnx import JitScalarType, symbolic_helper

import dropout


class _TensorsOnly(torch.nn.Module):
    """The model with its arguments that are no tensors baked in, as an ONNX graph has them, and what it draws behind
    those that are."""

    def __init__(self, model, arguments, drawn):
        super().__init__()
        self.model, self.arguments, self.drawn = model, arguments, drawn

    def forward(self, *tensors):
        left = iter(tensors)
        arguments = [next(left) if isinstance(a, torch.Tensor) else a for a in self.arguments]
        with self.drawn.given(left):
            return self.model(*arguments)


def _cumprod(model, inputs):
    """CumProd is in ONNX since opset 26, and in neither of PyTorch's exporters."""
    import onnx
    from onnx import TensorProto, helper
    shape = list(inputs[0].shape)
    axis = helper.make_tensor("axis", TensorProto.INT64, [], [model.dim % len(shape)])
    graph = helper.make_graph(
        [helper.make_node("CumProd", ["x0", "axis"], ["y"])], "cumprod",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)], [axis])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 26)], ir_version=onnx.IR_VERSION)


def _mean(g, x, reduction):
    if reduction != 1:
        raise RuntimeError("cannot export: a loss is reduced to its mean only")
    return g.op("ReduceMean", x, keepdims_i=0)


def _scalar(g, value):
    return g.op("Constant", value_t=torch.tensor(value))


@symbolic_helper.parse_args("v", "v", "i", "f")
def _smooth_l1_loss(g, x, y, reduction, beta):
    """PyTorch's definition: d^2 / (2 beta) where d = |x - y| < beta, d - beta / 2 beyond."""
    d = g.op("Abs", g.op("Sub", x, y))
    near = g.op("Mul", g.op("Mul", d, d), _scalar(g, 0.5 / beta))
    far = g.op("Sub", d, _scalar(g, 0.5 * beta))
    return _mean(g, g.op("Where", g.op("Less", d, _scalar(g, beta)), near, far), reduction)


@symbolic_helper.parse_args("v", "v", "v", "f", "f", "f", "b", "i")
def _triplet_margin_loss(g, anchor, positive, negative, margin, p, eps, swap, reduction):
    """PyTorch's definition for p = 2: max(|a - p + eps| - |a - n + eps| + margin, 0)."""
    if p != 2 or swap:
        raise RuntimeError("cannot export: a triplet margin loss has p = 2 and no swap")

    def distance(a, b):
        return g.op("ReduceL2", g.op("Add", g.op("Sub", a, b), _scalar(g, eps)),
                    g.op("Constant", value_t=torch.tensor([-1])), keepdims_i=0)

    gap = g.op("Sub", distance(anchor, positive), distance(anchor, negative))
    return _mean(g, g.op("Relu", g.op("Add", gap, _scalar(g, margin))), reduction)


@symbolic_helper.parse_args("v", "is", "v", "f")
def _rms_norm(g, x, shape, weight, eps):
    """As the exporter of torch.export's programs writes it: x / sqrt(mean of x^2 + eps) * weight, in float32."""
    wide = [g.op("Cast", t, to_i=int(JitScalarType.FLOAT.onnx_type())) for t in (x, weight)]
    axes = g.op("Constant", value_t=torch.arange(-len(shape), 0))
    square = g.op("Pow", wide[0], _scalar(g, 2.0))
    mean = g.op("Add", g.op("ReduceMean", square, axes, keepdims_i=1), _scalar(g, eps))
    normed = g.op("Mul", wide[0], g.op("Reciprocal", g.op("Sqrt", mean)))
    return g.op("Cast", g.op("Mul", normed, wide[1]), to_i=int(JitScalarType.from_value(x).onnx_type()))


OPSET = 18
# Operators that the exporter has no words for, in those of ONNX.
for name, symbolic in {"smooth_l1_loss": _smooth_l1_loss, "triplet_margin_loss": _triplet_margin_loss,
                       "rms_norm": _rms_norm}.items():
    torch.onnx.register_custom_op_symbolic(f"aten::{name}", symbolic, OPSET)

# By a word of what the exporter says that it cannot do: a few lines that build the graph by hand.
_BUILDERS = {"cumprod": _cumprod}


def external_data(path):
    """The locations, beside `path`, of tensors that the file does not hold: one larger than 2 GiB holds none."""
    import onnx
    tensors = onnx.load(str(path), load_external_data=False).graph.initializer
    return sorted({pair.value for t in tensors for pair in t.external_data if pair.key == "location"})


def workload_name(model, external, dimensions):
    """Of the digests of a model's file and of what it has beside it: two problems may be the same model, which has one
    name."""
    content = json.dumps([model, sorted(external.items()), sorted(dimensions.items())])
    return "kernelbench-" + hashlib.sha256(content.encode()).hexdigest()[:16]


def written(problem, model, inputs, folder):
    """(file, dimensions, how) of a problem's module, exported to `folder`; the dimensions are those left open."""
    file = folder / f"level{problem.level}_{problem.number}.onnx"
    how = export(model, inputs, file)
    return file, dimensions([x for x in inputs if isinstance(x, torch.Tensor)]) if how == "exporter, open" else {}, how


def exports(checkout, levels, batch_divisor):
    """{key: write} of each problem of `levels`, for ahead.py."""
    import problems

    def writer(problem):
        def write(folder):
            loaded = problems.Loaded(problem, "cpu", batch_divisor)
            return written(problem, loaded.model, loaded.inputs(42), folder)
        return write

    return {problem.key: writer(problem) for problem in problems.find(checkout, levels)}


def dimensions(tensors):
    """{name: extent} of the first dimension of each, as an export that leaves them open names them."""
    return {f"n{i}": x.shape[0] for i, x in enumerate(tensors) if x.dim() > 0}


def export(model, inputs, path, leave_open=False):
    """Writes `path`; returns how: "exporter", "exporter, open" when dimensions() are left to the import, as asked for
    by `leave_open`, or the name of a builder. RuntimeError when none can. The graph's inputs are the tensors, then what
    the model's Dropout draws (dropout.py)."""
    tensors = [x for x in inputs if isinstance(x, torch.Tensor)]
    drawn = dropout.Drawn(model, inputs)
    masks = drawn.masks()
    names = [f"x{i}" for i in range(len(tensors))] + [f"drawn{i}" for i in range(len(masks))]

    def exported(axes):
        with torch.no_grad():
            torch.onnx.export(_TensorsOnly(model, inputs, drawn).train(model.training), (*tensors, *masks), str(path),
                              dynamo=False, input_names=names, training=torch.onnx.TrainingMode.PRESERVE,
                              do_constant_folding=False, opset_version=OPSET, dynamic_axes=axes)
    try:
        if not leave_open:
            try:
                exported({})
                return "exporter"
            except RuntimeError as error:
                if "2GiB" not in str(error):
                    raise
                # Its shape inference makes constants of known shapes, and cannot hold those of more than 2 GiB.
        exported({f"x{i}": {0: f"n{i}"} for i, x in enumerate(tensors) if x.dim() > 0})
        return "exporter, open"
    except Exception as error:  # the exporter has many kinds
        for word, build in _BUILDERS.items():
            if word in str(error):
                path.write_bytes(build(model, inputs).SerializeToString())
                return word
        raise RuntimeError(f"cannot export: {str(error).strip().splitlines()[0]}") from error
