"""A model as an ONNX graph of a few plain operators, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .terms import Categories, Layers, Numbers, Terms

if TYPE_CHECKING:
    import onnx

__all__ = ["to_onnx"]

# Old enough for runtimes of the last years: ONNX 1.12 (June 2022).
OPSETS = {"": 17, "ai.onnx.ml": 2}
IR_VERSION = 8
OUTPUTS = ("prediction", "scores", "probabilities")


def to_onnx(terms: Terms) -> onnx.ModelProto:
    """Write terms as a graph with one input for each column and the outputs `OUTPUTS`, as far as there are any.

    Numbers are float64 `(n, 1)`, NaN where missing; vectors float64 `(n, d)`; categories strings `(n, 1)`, the empty
    one where missing. `prediction` is `(n,)`, `scores` `(n, outputs)`, `probabilities` `(n, classes)`.

    Raises OptionError without the package onnx, and where the empty string is a category of its own.
    """
    try:
        import onnx
    except ImportError:
        raise OptionError("an ONNX model needs the package onnx: pip install 'schuss[onnx]'") from None
    graph = _Graph(onnx)
    scores = _scores(graph, terms) if terms.layers is None else _network_scores(graph, terms, terms.layers)
    labels = None if terms.classes is None else graph.constant(_labels(terms.classes))
    if labels is None:
        flat = graph.add("Squeeze", [scores, graph.constant(np.array([1]))])
        graph.output(
            "prediction", graph.add("Exp", [flat]) if terms.link == "exp" else flat, onnx.TensorProto.DOUBLE, ()
        )
    else:
        kind = {"U": onnx.TensorProto.STRING, "b": onnx.TensorProto.BOOL, "i": onnx.TensorProto.INT64}
        predicted = graph.add("Gather", [labels, _class_indices(graph, scores, terms.outputs)])
        graph.output("prediction", predicted, kind[np.array(terms.classes).dtype.kind], ())
        graph.output("scores", scores, onnx.TensorProto.DOUBLE, (terms.outputs,))
        if terms.link is not None:
            chances = _probabilities(graph, scores, terms.link, terms.outputs)
            graph.output("probabilities", chances, onnx.TensorProto.DOUBLE, (len(terms.classes or ()),))
    return graph.model(terms)


class _Graph:
    """A graph in the making; what is computed is called schuss/0, schuss/1 and so on."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def add(self, operator: str, inputs: Sequence[str], output: str = "", domain: str = "", **attributes: Any) -> str:
        """Add an operator with one output, and give the output's name."""
        output = output or f"schuss/{len(self._nodes) + len(self._constants)}"
        self._nodes.append(self.onnx.helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant and give its name."""
        name = f"schuss/{len(self._nodes) + len(self._constants)}"
        self._constants.append(self.onnx.numpy_helper.from_array(values, name))
        return name

    def input(self, name: str, kind: int, width: int) -> str:
        """Add an input of so many values a row."""
        if name in OUTPUTS or name.startswith("schuss/"):
            raise OptionError(f"a column that is to be an input of an ONNX model cannot be called '{name}'")
        self._inputs.append(self.onnx.helper.make_tensor_value_info(name, kind, ["rows", width]))
        return name

    def output(self, name: str, of: str, kind: int, shape: tuple[int, ...]) -> None:
        """Give what is computed the name of an output; `shape` is that of a row."""
        self.add("Identity", [of], name)
        self._outputs.append(self.onnx.helper.make_tensor_value_info(name, kind, ["rows", *shape]))

    def model(self, terms: Terms) -> onnx.ModelProto:
        """Give the checked model."""
        helper = self.onnx.helper
        graph = helper.make_graph(self._nodes, "schuss", self._inputs, self._outputs, self._constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        model = helper.make_model(graph, producer_name="schuss", opset_imports=opsets, ir_version=IR_VERSION)
        helper.set_model_props(model, {"task": terms.task, "target": terms.target, "loss": terms.loss})
        self.onnx.checker.check_model(model, full_check=True)
        return model


def _network_scores(graph: _Graph, terms: Terms, layers: Layers) -> str:
    """Add what follows the sums of the first layers, and average the scores of the networks."""
    sums, begin = _scores(graph, terms), 0
    found = ""
    for own in layers.networks:
        units = np.arange(begin, begin + len(own[0][0]))
        begin += len(units)
        a = graph.add("Gather", [sums, graph.constant(units)], axis=1)
        for weights, bias in own:
            a = graph.add("MatMul", [_activated(graph, a, layers.activation), graph.constant(weights)])
            a = graph.add("Add", [a, graph.constant(bias)])
        found = graph.add("Add", [found, a]) if found else a
    share = graph.constant(np.array(layers.scale / len(layers.networks)))
    return graph.add("Add", [graph.add("Mul", [found, share]), graph.constant(np.array(layers.shift))])


def _activated(graph: _Graph, z: str, activation: str) -> str:
    """Apply an activation by operators that onnxruntime has for float64 (all but the error function)."""

    def number(value: float) -> str:
        return graph.constant(np.array(value))

    match activation:
        case "relu" | "tanh" | "sigmoid":
            return graph.add({"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}[activation], [z])
        case "leaky_relu":
            return graph.add("Max", [z, graph.add("Mul", [z, number(0.01)])])
        case "elu":
            below = graph.add("Sub", [graph.add("Exp", [graph.add("Min", [z, number(0.0)])]), number(1.0)])
            return graph.add("Where", [graph.add("Greater", [z, number(0.0)]), z, below])
        case "silu":
            return graph.add("Mul", [z, graph.add("Sigmoid", [z])])
        case "gelu":
            single, double = graph.onnx.TensorProto.FLOAT, graph.onnx.TensorProto.DOUBLE
            scaled = graph.add("Cast", [graph.add("Mul", [z, number(math.sqrt(0.5))])], to=single)
            shares = graph.add("Add", [graph.add("Cast", [graph.add("Erf", [scaled])], to=double), number(1.0)])
            return graph.add("Mul", [graph.add("Mul", [z, number(0.5)]), shares])
    return z


def _scores(graph: _Graph, terms: Terms) -> str:
    """Add up the intercept and what the columns add."""
    numbers = [column for column in terms.columns if isinstance(column, Numbers)]
    parts = [_number_scores(graph, numbers)] if numbers else []
    parts += [_category_scores(graph, column) for column in terms.columns if isinstance(column, Categories)]
    total = graph.constant(terms.intercept)
    for part in parts:
        total = graph.add("Add", [part, total])
    return total


def _number_scores(graph: _Graph, columns: list[Numbers]) -> str:
    """Fill in the centres, clip, and multiply by the weights."""
    weights, missing = (
        np.concatenate(arrays) for arrays in ([c.weights for c in columns], [c.missing for c in columns])
    )
    bounds = ([getattr(column, name) for column in columns] for name in ("centre", "low", "high"))
    centre, low, high = (graph.constant(np.concatenate(arrays)) for arrays in bounds)
    double = graph.onnx.TensorProto.DOUBLE
    inputs = [graph.input(column.name, double, len(column.weights)) for column in columns]
    given = graph.add("Concat", inputs, axis=1)
    gone = graph.add("IsNaN", [given])
    filled = graph.add("Where", [gone, centre, given])
    clipped = graph.add("Min", [graph.add("Max", [filled, low]), high])
    scores = graph.add("MatMul", [clipped, graph.constant(weights)])
    if not missing.any():
        return scores
    indicators = graph.add("Cast", [gone], to=double)
    return graph.add("Add", [scores, graph.add("MatMul", [indicators, graph.constant(missing)])])


def _category_scores(graph: _Graph, column: Categories) -> str:
    """Look the weights of a category up."""
    if column.gap and "" in column.known:
        raise OptionError(
            "in an ONNX model an empty string stands for a missing category, "
            f"and in the column '{column.name}' it is a category"
        )
    table = graph.constant(np.vstack([column.weights, column.missing, column.other]))
    words = [*column.known, *([""] if column.gap else [])]
    given = graph.input(column.name, graph.onnx.TensorProto.STRING, 1)
    flat = graph.add("Squeeze", [given, graph.constant(np.array([1]))])
    codes = graph.add(
        "LabelEncoder",
        [flat],
        domain="ai.onnx.ml",
        keys_strings=words,
        values_int64s=range(len(words)),
        default_int64=len(column.known) + 1,
    )
    return graph.add("Gather", [table, codes])


def _labels(classes: list[Any]) -> NDArray[Any]:
    return np.array(classes, object) if isinstance(classes[0], str) else np.array(classes)


def _class_indices(graph: _Graph, scores: str, outputs: int) -> str:
    """Find the class of the highest score; one score is that of class 1, against 0 for class 0."""
    if outputs > 1:
        return graph.add("ArgMax", [scores], axis=1, keepdims=0)
    flat = graph.add("Squeeze", [scores, graph.constant(np.array([1]))])
    positive = graph.add("Greater", [flat, graph.constant(np.array(0.0))])
    return graph.add("Cast", [positive], to=graph.onnx.TensorProto.INT64)


def _probabilities(graph: _Graph, scores: str, link: str, outputs: int) -> str:
    """Turn scores into probabilities of all classes, as the loss's inverse link does."""
    if link == "softmax":
        return graph.add("Softmax", [scores], axis=1)
    if link == "sigmoid_shares":
        return graph.add("Softmax", [_log_sigmoid(graph, scores)], axis=1)
    if link == "sigmoid":
        chances = graph.add("Sigmoid", [scores])
    else:
        bounds = [graph.constant(np.array(value)) for value in (-1.0, 1.0)]
        chances = graph.add("Clip", [scores, *bounds])
        chances = graph.add("Mul", [graph.add("Add", [chances, bounds[1]]), graph.constant(np.array(0.5))])
    if outputs == 1:
        return graph.add("Concat", [graph.add("Sub", [graph.constant(np.array(1.0)), chances]), chances], axis=1)
    total = graph.add("ReduceSum", [chances, graph.constant(np.array([1]))], keepdims=1)
    some = graph.add("Greater", [total, graph.constant(np.array(0.0))])
    shares = graph.add("Div", [chances, graph.add("Where", [some, total, graph.constant(np.array(1.0))])])
    return graph.add("Where", [some, shares, graph.constant(np.array(1 / outputs))])


def _log_sigmoid(graph: _Graph, scores: str) -> str:
    """Give log σ(s) = min(s, 0) − log(1 + exp(−|s|)); onnxruntime has Softplus for float32 only."""
    decay = graph.add("Exp", [graph.add("Neg", [graph.add("Abs", [scores])])])
    rest = graph.add("Log", [graph.add("Add", [decay, graph.constant(np.array(1.0))])])
    return graph.add("Sub", [graph.add("Min", [scores, graph.constant(np.array(0.0))]), rest])
