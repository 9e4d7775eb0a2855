"""Check of a `model.tflite` before the runtime reads it, which trusts every number in the file.

Structure, indices, sizes and the order of operators, as tensorflow/lite/schema/schema.fbs has them (TensorFlow 2.19).
What `lenslet convert` never writes, such as control flow, sparse tensors and custom operators, is refused.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

from lenslet.inference.errors import ArtifactError
from lenslet.inference.flatbuffer import NUMBERS, TEXT, UNION, VECTOR, FlatBuffer, Malformed

INTEGERS, OTHER = f"{NUMBERS}i", "options"
# Table of options → field's number → (name, type).
OPTIONS: dict[str, dict[int, tuple[str, str]]] = {
    "Conv2DOptions": {0: ("padding", "b"), 1: ("stride_w", "i"), 2: ("stride_h", "i"), 3: ("activation", "b"),
                      4: ("dilation_w", "i"), 5: ("dilation_h", "i"), 6: ("bias_type", "b")},
    "DepthwiseConv2DOptions": {0: ("padding", "b"), 1: ("stride_w", "i"), 2: ("stride_h", "i"),
                               3: ("depth_multiplier", "i"), 4: ("activation", "b"), 5: ("dilation_w", "i"),
                               6: ("dilation_h", "i")},
    "Pool2DOptions": {0: ("padding", "b"), 1: ("stride_w", "i"), 2: ("stride_h", "i"), 3: ("filter_w", "i"),
                      4: ("filter_h", "i"), 5: ("activation", "b")},
    "FullyConnectedOptions": {0: ("activation", "b"), 1: ("weights_format", "b"), 2: ("keep_num_dims", "?"),
                              3: ("asymmetric", "?"), 4: ("bias_type", "b")},
    "AddOptions": {0: ("activation", "b"), 1: ("pot_scale", "?")},
    "MulOptions": {0: ("activation", "b")},
    "SubOptions": {0: ("activation", "b"), 1: ("pot_scale", "?")},
    "DivOptions": {0: ("activation", "b")},
    "SoftmaxOptions": {0: ("beta", "f")},
    "ReshapeOptions": {0: ("new_shape", INTEGERS)},
    "ReducerOptions": {0: ("keep_dims", "?")},
    "CastOptions": {0: ("from", "b"), 1: ("to", "b")},
    OTHER: {},
}  # fmt: skip
# Operator's code → its options' code and table, and how many inputs it may have; each has one output. Of operators
# that are not here, only structure and indices are checked.
OPERATORS: dict[int, tuple[int, str, tuple[int, ...]]] = {
    0: (11, "AddOptions", (2,)),
    1: (5, "Pool2DOptions", (1,)),  # AVERAGE_POOL_2D
    3: (1, "Conv2DOptions", (3,)),
    4: (2, "DepthwiseConv2DOptions", (3,)),
    6: (38, OTHER, (1,)),  # DEQUANTIZE
    9: (8, "FullyConnectedOptions", (3,)),
    14: (0, OTHER, (1,)),  # LOGISTIC
    17: (5, "Pool2DOptions", (1,)),  # MAX_POOL_2D
    18: (21, "MulOptions", (2,)),
    19: (0, OTHER, (1,)),  # RELU
    21: (0, OTHER, (1,)),  # RELU6
    22: (17, "ReshapeOptions", (1, 2)),
    25: (9, "SoftmaxOptions", (1,)),
    34: (22, OTHER, (2,)),  # PAD
    40: (27, "ReducerOptions", (2,)),  # MEAN
    41: (28, "SubOptions", (2,)),
    42: (29, "DivOptions", (2,)),
    47: (33, OTHER, (1,)),  # EXP
    53: (37, "CastOptions", (1,)),
    55: (39, OTHER, (2,)),  # MAXIMUM
    57: (39, OTHER, (2,)),  # MINIMUM
    114: (89, OTHER, (1,)),  # QUANTIZE
    117: (91, OTHER, (1,)),  # HARD_SWISH
}
CUSTOM, DELEGATE = 32, 51  # operators that no file holds
# Bytes of an element by the tensor's type: float32, float16, int32, uint8, int64, bool, int16, int8.
ITEM_BYTES = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 9: 1}
MAX_ELEMENTS = 64_000_000  # of one tensor; those of MobileNetV2 at 224 pixels have 1.2 million
# Numbers in options → their range.
OPTION_RANGES = {
    "padding": (0, 1),
    "activation": (0, 5),
    "weights_format": (0, 0),
    "depth_multiplier": (0, 1024),
}
MAX_RANK = 6
ABSENT = -1  # index of an input that is left out
EXTENT_RANGE = (1, 1024)  # of strides, dilations and filters


SCHEMA: dict[str, dict[int, tuple[str, str]]] = OPTIONS | {
    "Model": {0: ("version", "I"), 1: ("codes", f"{VECTOR}OperatorCode"), 2: ("graphs", f"{VECTOR}SubGraph"),
              3: ("description", TEXT), 4: ("buffers", f"{VECTOR}Buffer"), 5: ("metadata_buffer", INTEGERS),
              6: ("metadata", f"{VECTOR}Metadata"), 7: ("signatures", f"{VECTOR}SignatureDef")},
    "OperatorCode": {0: ("old_code", "b"), 1: ("custom", TEXT), 2: ("version", "i"), 3: ("code", "i")},
    "SubGraph": {0: ("tensors", f"{VECTOR}Tensor"), 1: ("inputs", INTEGERS), 2: ("outputs", INTEGERS),
                 3: ("operators", f"{VECTOR}Operator"), 4: ("name", TEXT)},
    "Tensor": {0: ("shape", INTEGERS), 1: ("type", "b"), 2: ("buffer", "I"), 3: ("name", TEXT),
               4: ("quantization", "Quantization"), 5: ("is_variable", "?"), 7: ("signature", INTEGERS),
               8: ("has_rank", "?")},
    "Quantization": {0: ("min", f"{NUMBERS}f"), 1: ("max", f"{NUMBERS}f"), 2: ("scale", f"{NUMBERS}f"),
                     3: ("zero_point", f"{NUMBERS}q"), 4: ("details_type", "B"), 6: ("dimension", "i")},
    "Operator": {0: ("opcode", "I"), 1: ("inputs", INTEGERS), 2: ("outputs", INTEGERS), 3: ("options_type", "B"),
                 4: ("options", UNION), 6: ("custom_format", "b"), 7: ("mutating", f"{NUMBERS}?"),
                 8: ("intermediates", INTEGERS)},
    "Buffer": {0: ("data", f"{NUMBERS}B")},
    "Metadata": {0: ("name", TEXT), 1: ("buffer", "I")},
    "SignatureDef": {0: ("inputs", f"{VECTOR}TensorMap"), 1: ("outputs", f"{VECTOR}TensorMap"), 2: ("key", TEXT),
                     3: ("old_key", TEXT), 4: ("graph", "I")},
    "TensorMap": {0: ("name", TEXT), 1: ("tensor", "I")},
}  # fmt: skip

Table = Mapping[str, Any]


def check_tflite(model: bytes) -> None:
    """Raises: ArtifactError, if the file is damaged, or holds what `lenslet convert` never writes."""
    try:
        if model[4:8] != b"TFL3":
            raise Malformed("it does not begin as a TFLite file")
        buffer = FlatBuffer(model, SCHEMA)
        root = buffer.read("Model")
        graphs = root.get("graphs", [])
        if len(graphs) != 1:
            raise Malformed(f"it has {len(graphs)} graphs instead of one")
        _check_tensors(graphs[0], root)
        _check_operators(graphs[0], root, buffer)
        _check_signatures(graphs[0], root)
    except Malformed as error:
        raise ArtifactError(
            f"cannot load model.tflite: the file is damaged: {error}; run `lenslet convert` again"
        ) from error


def _check_tensors(graph: Table, root: Table) -> None:
    buffers = root.get("buffers", [])
    for tensor in graph.get("tensors", []):
        shape, item_bytes = tensor.get("shape", ()), ITEM_BYTES.get(tensor.get("type", 0))
        if item_bytes is None or tensor.get("is_variable"):
            raise Malformed("a tensor has a type that is not served")
        if any(extent < 1 for extent in shape) or len(shape) > MAX_RANK or prod(shape) > MAX_ELEMENTS:
            raise Malformed(f"a tensor has the shape {shape}")
        if len(tensor.get("signature", ())) not in (0, len(shape)):
            raise Malformed("a tensor has two shapes")
        if tensor.get("buffer", 0) >= len(buffers):
            raise Malformed("a tensor's buffer does not exist")
        size = _size(tensor, buffers)
        if size and size != prod(shape) * item_bytes:
            raise Malformed(f"a tensor of the shape {shape} has {size} bytes")
        _check_quantization(tensor.get("quantization", {}), shape)


def _check_quantization(quantization: Table, shape: tuple[int, ...]) -> None:
    scales, dimension = len(quantization.get("scale", ())), quantization.get("dimension", 0)
    if quantization.get("details_type") or len(quantization.get("zero_point", ())) not in (0, scales):
        raise Malformed("a tensor's quantization is incomplete")
    if scales > 1 and not (0 <= dimension < len(shape) and scales == shape[dimension]):
        raise Malformed("a tensor's quantization is not of its shape")


def _size(tensor: Table, buffers: list[Table]) -> int:
    """Bytes of a constant; 0 for what an operator computes."""
    _, size = buffers[tensor.get("buffer", 0)].get("data", (0, 0))
    return int(size)


def _check_operators(graph: Table, root: Table, buffer: FlatBuffer) -> None:
    """Each operator reads what is known when it runs, and writes what nothing else has written."""
    tensors, codes = graph.get("tensors", []), root.get("codes", [])
    inputs, outputs = graph.get("inputs", ()), graph.get("outputs", ())
    known = {index for index, tensor in enumerate(tensors) if _size(tensor, root["buffers"])}
    if known & {*inputs} or not {*inputs} <= {*range(len(tensors))}:
        raise Malformed("an input of the graph does not exist")
    known |= {*inputs}
    for operator in graph.get("operators", []):
        if operator.get("opcode", 0) >= len(codes):
            raise Malformed("an operator's code does not exist")
        if not {*operator.get("inputs", ())} - {ABSENT} <= known:
            raise Malformed("an operator reads a tensor that nothing has written")
        written = {*operator.get("outputs", ())}
        if written & known or not written <= {*range(len(tensors))}:
            raise Malformed("an operator writes a tensor that is written already, or does not exist")
        known |= written
        _check_options(operator, codes[operator.get("opcode", 0)], buffer)
    if not {*outputs} <= known:
        raise Malformed("an output of the graph is written by no operator")


def _check_options(operator: Table, code: Table, buffer: FlatBuffer) -> None:
    number = max(code.get("code", 0), code.get("old_code", 0))
    if number < 0 or number in (CUSTOM, DELEGATE) or "custom" in code:
        raise Malformed("an operator is not one of TFLite's own")
    options_type = operator.get("options_type", 0)
    expected, table, counts = OPERATORS.get(number, (options_type, OTHER, ()))
    inputs, outputs = operator.get("inputs", ()), operator.get("outputs", ())
    if counts and (len(inputs) not in counts or len(outputs) != 1 or ABSENT in inputs[:2]):
        raise Malformed(f"operator {number} has {len(inputs)} inputs and {len(outputs)} outputs")
    if options_type not in (0, expected) or (options_type != 0) != ("options" in operator):
        raise Malformed(f"operator {number} has the options of another")
    if "options" not in operator:
        return
    for name, value in buffer.read(table, operator["options"]).items():
        is_extent = name.startswith(("stride", "dilation", "filter"))
        least, most = EXTENT_RANGE if is_extent else OPTION_RANGES.get(name, (value, value))
        if not least <= value <= most:
            raise Malformed(f"operator {number} has the {name} {value}")


def _check_signatures(graph: Table, root: Table) -> None:
    signatures = root.get("signatures", [])
    if len(signatures) != 1 or signatures[0].get("graph", 0):
        raise Malformed("it has no signature, or several")
    for end in ("inputs", "outputs"):
        named = [entry.get("tensor", 0) for entry in signatures[0].get(end, [])]
        if not {*named} <= {*graph.get(end, ())}:
            raise Malformed(f"its signature has other {end} than its graph")
