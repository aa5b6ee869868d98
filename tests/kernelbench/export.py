"""A problem's model as an ONNX file, with the arithmetic that the benchmark runs: in train mode, nothing folded."""

import torch


class _TensorsOnly(torch.nn.Module):
    """The model with its arguments that are no tensors baked in, as an ONNX graph has them."""

    def __init__(self, model, arguments):
        super().__init__()
        self.model, self.arguments = model, arguments

    def forward(self, *tensors):
        left = iter(tensors)
        return self.model(*(next(left) if isinstance(a, torch.Tensor) else a for a in self.arguments))


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


# By a word of what the exporter says that it cannot do: a few lines that build the graph by hand.
_BUILDERS = {"cumprod": _cumprod}


def export(model, inputs, path):
    """Writes `path`; returns how: "exporter" or the name of a builder. RuntimeError when neither can."""
    tensors = [x for x in inputs if isinstance(x, torch.Tensor)]
    names = [f"x{i}" for i in range(len(tensors))]
    try:
        with torch.no_grad():
            torch.onnx.export(_TensorsOnly(model, inputs).train(model.training), tuple(tensors), str(path),
                              dynamo=False, input_names=names, training=torch.onnx.TrainingMode.PRESERVE,
                              do_constant_folding=False, opset_version=18)
        return "exporter"
    except Exception as error:  # the exporter has many kinds
        for word, build in _BUILDERS.items():
            if word in str(error):
                path.write_bytes(build(model, inputs).SerializeToString())
                return word
        raise RuntimeError(f"cannot export: {str(error).strip().splitlines()[0]}") from error
