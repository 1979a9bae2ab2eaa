"""Hand-made networks for the tests of the HTML pages."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from normfix.findings import Finding, Report, Severity
from normfix.graph import Argument, Call, Layer, LayerGraph, Site, Tensor

Rename = Callable[[str], str]
SHAPE = (8, 16, 14, 14)


def residual(norms: int, rename: Rename = str, folded: bool = False) -> LayerGraph:
    """Blocks of three conv, norm, activation and a sum; 25 blocks a stage. `folded` leaves the norms out."""
    random.seed(norms)
    graph = LayerGraph("Residual")
    last = start = _call(graph, Layer("input", "image"), [])
    for number in range(norms):
        block = f"stages.{number // 75}.blocks.{number // 3 % 25}"
        last = _call(
            graph, _layer("Conv2d", rename(f"{block}.conv{number % 3}"), ["weight", "bias"][: 1 + folded]), [last]
        )
        if not folded:
            state = ["weight", "bias", "running_mean", "running_var"]
            last = _call(graph, _layer("BatchNorm2d", rename(f"{block}.bn{number % 3}"), state), [last])
        last = _call(graph, _layer("ReLU", rename(f"{block}.act{number % 3}")), [last])
        if number % 3 == 2:
            last = start = _call(graph, Layer("add", f"{block}.add", Site(module=block)), [last, start])
    graph.outputs = [last]
    return graph


def norms_of(graph: LayerGraph) -> list[Layer]:
    return [layer for layer in graph.layers if layer.kind == "BatchNorm2d"]


def about(layers: Iterable[Layer], path: str = "model.py", text: str = "") -> Report:
    """One finding about each layer, on line after line of `text`: errors, warnings and notes by turns."""
    rules = (("NF301", "bias-before-norm"), ("NF705", "exploding-scale"))
    findings = []
    for number, layer in enumerate(layers):
        code, slug = rules[number % 2]
        severity = tuple(Severity)[number % 3]
        line = 1 + number % max(text.count("\n"), 1)
        message = f"`{layer.name}` is number {number}"
        findings.append(
            Finding(code, slug, severity, message, path, line, 5, line, 9, module=layer.name, help="Mend `it`")
        )
    return Report(findings, sources={path: text})


def _layer(kind: str, name: str, state: Iterable[str] = ()) -> Layer:
    channels = SHAPE[1]
    sizes = {"num_features": Argument(channels)} if kind == "BatchNorm2d" else {}
    tensors = {one: _tensor([random.gauss(0.5, 1) ** 2 + 0.1 for _ in range(channels)]) for one in state}
    return Layer(kind, name, Site(module=name), sizes, state=tensors, training=False, owner="Block")


def _tensor(values: list[float]) -> Tensor:
    return Tensor((len(values),), "float32", "cpu", lambda: values)


def _call(graph: LayerGraph, layer: Layer, inputs: list[Call]) -> Call:
    call = Call(layer, tuple(inputs), SHAPE, "float32", layer.site, training=False)
    graph.layers.append(layer)
    graph.calls.append(call)
    return call
