"""What a node of an ONNX file was called in the model that it was exported from."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

import onnx

from normfix.graph import Origin

_FRAME = re.compile(r'File "([^"]+)", line (\d+), in ')
_TORCH = re.compile(r"[/\\]torch[/\\]")


def name_of(node: onnx.NodeProto, own: Sequence[str]) -> str:
    """The module path that the names of its own tensors begin with, or that the exporter kept; else the node's name."""
    stems = {name.rpartition(".")[0] for name in own}
    if len(stems) == 1 and (stem := stems.pop()):
        return stem
    try:
        scopes = ast.literal_eval(_metadata(node, "pkg.torch.onnx.name_scopes") or "[]")
    except (ValueError, SyntaxError):
        scopes = []
    if own and isinstance(scopes, list) and len(scopes) > 1 and scopes[-2]:
        return str(scopes[-2])
    return str(node.name or (node.output[0] if node.output else node.op_type))


def origin_of(node: onnx.NodeProto) -> Origin | None:
    """The line of the caller's source that led to a node, where the exporter kept its stack trace."""
    frames = _FRAME.findall(_metadata(node, "pkg.torch.onnx.stack_trace"))
    own = [frame for frame in frames if not _TORCH.search(frame[0])]
    if not own:
        return None
    path, line = own[-1]
    return Origin(path, int(line), 1, int(line), 1)


def _metadata(node: onnx.NodeProto, key: str) -> str:
    return next((str(entry.value) for entry in node.metadata_props if entry.key == key), "")
