"""Results that a forward pass leaves in attributes of its modules, where anybody may read them later."""

from __future__ import annotations

import re
from collections.abc import Iterable
from warnings import WarningMessage

from normfix import graph
from normfix.readers.live.layers import Modules

_ASSIGNED = re.compile(r"The tensor attributes? (.+) (?:was|were) assigned during export")
_NAME = re.compile(r"self\.([\w.]+)")


def attributes(warnings: Iterable[WarningMessage]) -> list[str]:
    """The attributes that torch.export saw tensors put into: "block.feature" for `self.feature = x` in `block`."""
    found = [match[1] for warning in warnings if (match := _ASSIGNED.search(str(warning.message)))]
    return [name for text in found for name in _NAME.findall(text)]


def mark(calls: Iterable[graph.Call], kept: Iterable[str], modules: Modules) -> None:
    """Every result that such a module's own forward makes may be the one it keeps. What a known layer keeps for itself
    (the flattened weights of an LSTM) is no result."""
    owners = {name.rpartition(".")[0]: name for name in kept}
    owners = {path: name for path, name in owners.items() if path not in modules.by_path}
    for call in calls:
        path = call.site.module
        if path is None or call.kind == "constant":
            continue
        home = path.rpartition(".")[0] if path in modules.by_path else path
        if home in owners and call.escapes is None:
            call.escapes = graph.Unknown(f"the forward pass keeps a tensor in the attribute `{owners[home]}`")
