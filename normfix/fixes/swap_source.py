"""Swaps the batch norms that a source file constructs for norms of another kind.

`nn.BatchNorm2d(64, momentum=0.01)` becomes `nn.GroupNorm(32, 64)`, `norm_layer=nn.BatchNorm2d` a small helper that is
added below the imports. What cannot be told from source stays, with the reason.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from fnmatch import fnmatchcase

from normfix import files
from normfix.errors import Refused, UsageError
from normfix.fixes.document import PythonFile
from normfix.fixes.edits import Fix, unified
from normfix.fixes.source import Source
from normfix.fixes.swap_norms import KINDS, Swap
from normfix.fixes.swap_sync import conversions
from normfix.fixes.verify import Broken, check_tree
from normfix.readers import scripts
from normfix.rewrites import Change, Refusal
from normfix.script import Script

Made = tuple[Change, Fix]
_STATISTICS = frozenset({"running_mean", "running_var", "num_batches_tracked"})
_MISSING = "the swapped layers have no running statistics"


@dataclass(frozen=True, slots=True)
class SourceSwap:
    """A source file before and after; torch-free kin of `Rewrite`."""

    path: str
    applied: tuple[Change, ...]
    refused: tuple[Refusal, ...]
    old: str
    new: str

    @property
    def changed(self) -> bool:
        return self.old != self.new

    def diff(self) -> str:
        """The changes as a unified diff."""
        return unified(self.old, self.new, self.path)


def swap_source(path: str, kind: str, *, groups: int = 32, where: str | None = None, write: bool = True) -> SourceSwap:
    """Swap the batch norms of a file to `kind`: "group", "instance", "layer", "frozen_batch" or "sync_batch".

    `groups` is the most that a group norm gets: the largest divisor of the width up to it is taken. `where` is a
    pattern for `Class.attribute`, or `attribute` alone. Raises UsageError, and leaves the file as it was, where it
    cannot be read, swapped or written.
    """
    doing = f"cannot swap the norms of {path} to `{kind}`"
    if kind not in (*KINDS, "sync_batch"):
        raise UsageError(f"{doing}: source does not tell the rank of its inputs; swap the live model instead")
    if groups < 1:
        raise UsageError(f"{doing}: a group norm has at least one group, not {groups}")
    try:
        snapshot = files.read(path)
        old = PythonFile.of(snapshot.data)
        source = Source(old.text)
        script = scripts.index(source.tree, old.text, path, scripts.spans(old.text, path))
        made, refused = _made(source, script, kind, groups, where)
        if made and kind not in ("sync_batch", "frozen_batch"):
            refused += _read_statistics(source, script)
        new = old.edited({None: [edit for _, fix in made for edit in fix.edits]})
        for _, fix in made:
            fix.intend()
        check_tree(source.tree, new.text)
        if write and made:
            links = files.links(path)
            files.rewrite(snapshot, new.data)
            refused += [Refusal(path, f"the old text, under {links} other hard link(s)")] if links else []
    except (Refused, Broken) as error:
        raise UsageError(f"{doing}: {error.reason}") from error
    except (OSError, SyntaxError) as error:
        raise UsageError(f"{doing}: {getattr(error, 'strerror', None) or error}") from error
    changes = tuple(change for change, _ in made if change.what)
    return SourceSwap(path, changes, tuple(refused), old.text, new.text)


def _made(
    source: Source, script: Script, kind: str, groups: int, where: str | None
) -> tuple[list[Made], list[Refusal]]:
    made: list[Made] = []
    refused: list[Refusal] = []
    swap = Swap(source, script, kind, groups) if kind in KINDS else None
    for node, make in swap.sites() if swap else conversions(source, script):
        place = _place(source, node)
        if where is not None and not any(fnmatchcase(one, where) for one in (place, place.rpartition(".")[2])):
            continue
        try:
            what, done = make()
            made.append((Change(f"{script.path}:{node.lineno} {place}".strip(), what), done))
        except Refused as error:
            refused.append(Refusal(f"{script.path}:{node.lineno} {place}".strip(), error.reason))
    if swap and made:
        made += [(Change("", ""), fix) for fix in swap.support.fixes()]
    return made, refused


def _read_statistics(source: Source, script: Script) -> list[Refusal]:
    """Where the file reads what the swapped layers do not have."""
    return [
        Refusal(
            f"{script.path}:{node.lineno} {_place(source, node)}".strip(), f"`{node.attr}` is read here: {_MISSING}"
        )
        for node in script.of_type(ast.Attribute)
        if node.attr in _STATISTICS and isinstance(node.ctx, ast.Load) and getattr(node.value, "id", "") != "self"
    ]


def _place(source: Source, node: ast.AST) -> str:
    """`Net.bn1` for what `Net` assigns to `self.bn1`, `Net` for what it does not assign, `build` for a function."""
    names: list[str] = []
    for parent in source.ancestors(node):
        if isinstance(parent, (ast.Assign, ast.AnnAssign)) and not names:
            target = parent.targets[0] if isinstance(parent, ast.Assign) else parent.target
            names.insert(0, target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", ""))
        function = isinstance(parent, ast.FunctionDef) and not names and not parent.name.startswith("__")
        if function or isinstance(parent, ast.ClassDef):
            names.insert(0, parent.name)  # type: ignore[attr-defined]  # both have one
    return ".".join(name for name in names if name)
