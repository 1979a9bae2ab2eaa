"""The layer graph as data for the page's script: boxes (modules) and nodes (calls), plain values only.

The script shows at most 200 nodes at a time by closing boxes; so no box may hold more than that directly, and long rows
of siblings are put into boxes of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from normfix import norms
from normfix.checking.inspection import shape_text
from normfix.findings import Finding
from normfix.graph import Call, LayerGraph, Tensor, Undecided, Unknown
from normfix.reports.html.environment import visible

MOST = 200
"""Nodes that are visible at a time."""
_FAN = 40
"""Children that a box may hold before they are grouped."""
_HIDDEN = frozenset({"constant"})
_SEPARATOR = re.compile(r"[./]")
_SMALL = 65536
"""Elements of a tensor that are compared one by one."""


@dataclass(eq=False)
class _Box:
    path: str
    name: str
    kind: str = ""
    children: list[_Box | Call] = field(default_factory=list)


def picture(
    graph: LayerGraph, findings: Sequence[Finding], marks: Mapping[str, str], rows: Mapping[str, int]
) -> dict[str, Any]:
    """Boxes and nodes, parents first, each with the index of its box.

    `marks` gives names of layers a CSS class, `rows` their place in the table of norms.
    """
    shown = [call for call in graph.calls if call.kind not in _HIDDEN]
    numbers = {id(call): number for number, call in enumerate(shown)}
    worst = severities(findings)
    outputs = {id(call) for call in graph.outputs}
    boxes: list[dict[str, Any]] = []
    places: dict[int, int] = {}
    todo: list[tuple[_Box, int]] = [(_grouped(_tree(graph, shown)), -1)]
    while todo:
        box, parent = todo.pop()
        plain = {"path": box.path, "name": visible(box.name), "kind": visible(box.kind)}
        boxes.append({"parent": parent, **plain})
        inner = [child for child in box.children if isinstance(child, _Box)]
        places |= {id(child): len(boxes) - 1 for child in box.children if isinstance(child, Call)}
        todo += [(child, len(boxes) - 1) for child in reversed(inner)]
    nodes = [
        {**_node(call, worst, marks), "box": places[id(call)], "inputs": _inputs(call, numbers)}
        | ({"output": True} if id(call) in outputs else {})
        | ({"row": rows[call.layer.name]} if call.layer.name in rows else {})
        for call in shown
    ]
    return {"name": graph.name, "boxes": boxes, "nodes": nodes, "most": MOST}


def severities(findings: Sequence[Finding]) -> dict[str, int]:
    """The worst severity at each module path that a finding is about, or points to."""
    worst: dict[str, int] = {}
    for finding in findings:
        for module in (finding.module, *(site.module for _, site in finding.related)):
            if module:
                worst[module] = max(worst.get(module, 0), int(finding.severity))
    return worst


def differences(before: LayerGraph, after: LayerGraph) -> tuple[dict[str, str], dict[str, str]]:
    """What a rewrite did to each layer that both or one of the graphs hold: a class for its node on either side."""
    old, new = ({call.layer.name: call for call in graph.calls} for graph in (before, after))
    gone = dict.fromkeys(old.keys() - new.keys(), "removed")
    come = dict.fromkeys(new.keys() - old.keys(), "added")
    other = {name: "changed" for name in old.keys() & new.keys() if _differ(old[name], new[name])}
    return {**gone, **other}, {**come, **other}


def _tree(graph: LayerGraph, calls: Sequence[Call]) -> _Box:
    """Modules inside modules, each with its calls in the order of execution."""
    root = _Box("", graph.name)
    boxes = {"": root}
    for call in calls:
        box = _box(_container(call), boxes)
        box.kind = box.kind or call.layer.owner
        box.children.append(call)
    return root


def _box(parts: Sequence[str], boxes: dict[str, _Box]) -> _Box:
    path = ""
    for part in parts:
        inner = f"{path}.{part}" if path else part
        if inner not in boxes:
            boxes[inner] = _Box(inner, part)
            boxes[path].children.append(boxes[inner])
        path = inner
    return boxes[path]


def _container(call: Call) -> list[str]:
    """The module that runs this call: the parent of a layer, the module itself for an operation."""
    path = call.site.module or call.layer.site.module or ""
    parts = [part for part in _SEPARATOR.split(path) if part]
    is_operation = call.kind.islower() and call.layer.name != path
    return parts if is_operation else parts[:-1]


def _grouped(root: _Box) -> _Box:
    """The tree with every box of at most _FAN children: longer rows are cut into boxes of their own."""
    todo = [root]
    while todo:
        box = todo.pop()
        if len(box.children) > _FAN:
            size = -(-len(box.children) // -(-len(box.children) // _FAN))
            while -(-len(box.children) // size) > _FAN:
                size *= _FAN
            starts = range(0, len(box.children), size)
            box.children = [_slice(box, start, box.children[start : start + size]) for start in starts]
        todo += [child for child in box.children if isinstance(child, _Box)]
    return root


def _slice(box: _Box, start: int, children: list[_Box | Call]) -> _Box:
    name = f"steps {start + 1} to {start + len(children)}"
    return _Box(f"{box.path}[{start}:{start + len(children)}]", name, "", children)


def _node(call: Call, worst: Mapping[str, int], marks: Mapping[str, str]) -> dict[str, Any]:
    name = call.layer.name
    plain: dict[str, Any] = {"name": visible(name), "kind": "?" if call.kind == "unknown" else visible(call.kind)}
    if not isinstance(call.shape, Unknown):
        plain["shape"] = shape_text(call.shape)
    if call.kind in norms.NORMS:
        plain["norm"] = True
    severity = max((worst.get(one, 0) for one in (name, call.site.module or "", *call.layer.aliases)), default=0)
    if severity:
        plain["severity"] = severity
    if name in marks:
        plain["mark"] = marks[name]
    return plain


def _inputs(call: Call, numbers: Mapping[int, int]) -> list[int]:
    """Indices of the calls that it reads, -1 for one that is not known."""
    found = [numbers.get(id(one)) if isinstance(one, Call) else -1 for one in call.inputs]
    return list(dict.fromkeys(number for number in found if number is not None))


def _differ(old: Call, new: Call) -> bool:
    if old.kind != new.kind or old.layer.state.keys() != new.layer.state.keys():
        return True
    return any(_differs(old.layer.state[name], new.layer.state[name]) for name in old.layer.state)


def _differs(old: Tensor, new: Tensor) -> bool:
    """Do two tensors differ; large ones are taken as equal, for a fold that changes weights changes the bias too."""
    if old.shape != new.shape:
        return True
    size = 1
    for length in old.shape:
        size *= length
    try:
        return size <= _SMALL and list(old.values()) != list(new.values())
    except Undecided:
        return False
