"""Writes small ONNX files without the onnx package: the few protobuf fields of onnx.proto3 that a model needs."""


def _varint(n):
    out = bytearray()
    while True:
        out.append((n & 0x7F) | (0x80 if n > 0x7F else 0))
        n >>= 7
        if n == 0:
            return bytes(out)


def _bytes(field, data):
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _text(field, text):
    return _bytes(field, text.encode())


def _int(field, value):
    return _varint(field << 3) + _varint(value & (1 << 64) - 1)


FLOAT = 1  # TensorProto.DataType


def _value(name, shape):
    dimensions = b"".join(_bytes(1, _int(1, extent)) for extent in shape)
    return _text(1, name) + _bytes(2, _bytes(1, _int(1, FLOAT) + _bytes(2, dimensions)))


def _attribute(name, value):
    return _text(1, name) + _int(3, value) + _int(20, 2)  # AttributeProto.INT


def node(op, inputs, outputs, **integers):
    text = b"".join(_text(1, i) for i in inputs) + b"".join(_text(2, o) for o in outputs) + \
        _text(3, outputs[0]) + _text(4, op)
    return text + b"".join(_bytes(5, _attribute(name, value)) for name, value in integers.items())


def model(nodes, inputs, outputs, opset=17):
    """`inputs` and `outputs`: {name: shape} of float32 tensors."""
    graph = b"".join(_bytes(1, n) for n in nodes) + _text(2, "graph")
    graph += b"".join(_bytes(11, _value(n, s)) for n, s in inputs.items())
    graph += b"".join(_bytes(12, _value(n, s)) for n, s in outputs.items())
    return _int(1, 8) + _bytes(7, graph) + _bytes(8, _int(2, opset))
