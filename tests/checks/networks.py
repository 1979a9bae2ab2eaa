"""Layer graphs by hand, for facts that no reader is needed for."""

from __future__ import annotations

from collections.abc import Sequence

from normfix import engine
from normfix.engine import Facts
from normfix.findings import Finding
from normfix.graph import Argument, Call, Layer, LayerGraph, Shape, Site, Tensor, Unknown


def layer(kind: str, name: str = "", *, training: bool | Unknown = True, **arguments: object) -> Layer:
    """A layer as a live model shows it; `state` may be set afterwards."""
    name = name or kind.lower()
    return Layer(
        kind,
        name,
        Site(module=name),
        {key: value if isinstance(value, Argument) else Argument(value) for key, value in arguments.items()},
        training=training,
    )


def tensor(*values: float, dtype: str = "float32", names: tuple[str, ...] = ()) -> Tensor:
    return Tensor((len(values),), dtype, "cpu", lambda: list(values), names=names)


def chain(*layers: Layer, shapes: Sequence[Shape | None] = ()) -> LayerGraph:
    """A network that calls these layers one after the other; `shapes[0]` is that of its input."""
    known = [Unknown("no shape was given") if shape is None else shape for shape in shapes]
    known += [Unknown("no shape was given")] * (len(layers) + 1 - len(known))
    source = Layer("input", "x")
    calls = [Call(source, shape=known[0])]
    for one, shape in zip(layers, known[1:], strict=True):
        calls.append(Call(one, (calls[-1],), shape, site=one.site))
    return LayerGraph("network", [source, *layers], calls, outputs=[calls[-1]])


def run(code: str, graph: LayerGraph, reader: str = "model", **facts: object) -> list[Finding]:
    """What one rule finds in a graph."""
    chosen = [check for check in engine.checks() if check.rule.code == code]
    assert chosen, f"there is no rule {code}"
    return engine.run(Facts(reader, graph=graph, **facts), chosen, [graph]).findings  # type: ignore[arg-type]


def found(code: str, graph: LayerGraph, reader: str = "model", **facts: object) -> list[tuple[str | None, str]]:
    """Module paths and severities of what one rule finds in a graph."""
    return [(one.module, str(one.severity)) for one in run(code, graph, reader, **facts)]
