"""Constructors of batch norms, and references to their classes, turned into those of another norm."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from normfix.errors import Refused
from normfix.fixes.call import CallRewrite
from normfix.fixes.edits import Edit, Fix
from normfix.fixes.source import Source, expression
from normfix.fixes.swap_support import Support, group_count
from normfix.script import Script
from normfix.vocabulary import positional

Site = tuple[ast.expr, Callable[[], tuple[str, Fix]]]

_RANKED = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")
_NORMS = tuple(f"torch.nn.{kind}" for kind in (*_RANKED, *(f"Lazy{kind}" for kind in _RANKED), "SyncBatchNorm"))
_SAME = {name: name for name in ("num_features", "eps", "affine", "bias", "device", "dtype")}
_GROUPED = _SAME | {"num_features": "num_channels"}
_PURE = (ast.Name, ast.Attribute, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Subscript)
_LOST = frozenset({"momentum", "track_running_stats", "process_group"})


@dataclass(frozen=True, slots=True)
class Target:
    """What the constructor of the new norm takes."""

    kind: str
    """As the vocabulary names it; `{rank}` stands for 1d, 2d or 3d."""
    keeps: dict[str, str]
    """Parameters of a batch norm, and what the new norm calls them."""
    only: tuple[str, ...] = _RANKED


KINDS = {
    "group": Target("GroupNorm", _GROUPED, (*_RANKED, "SyncBatchNorm")),
    "layer": Target("GroupNorm", _GROUPED, (*_RANKED, "SyncBatchNorm")),
    # InstanceNorm1d would read (N, C), which BatchNorm1d takes, as one unbatched sample.
    "instance": Target("InstanceNorm{rank}", _SAME, _RANKED[1:]),
    "frozen_batch": Target(
        "torchvision.FrozenBatchNorm2d", {"num_features": "num_features", "eps": "eps"}, _RANKED[1:2]
    ),
}


class Swap:
    """All swaps of one file to one kind."""

    def __init__(self, source: Source, script: Script, kind: str, groups: int) -> None:
        self.source, self.script, self.kind, self.most = source, script, kind, groups
        self.target = KINDS[kind]
        self.support = Support(source, script, kind, groups)

    def sites(self) -> Iterator[Site]:
        """Every constructor call of, and other reference to, a batch norm of torch.nn, with how to swap it."""
        for node in sorted(self._references(), key=self.source.span):
            name = self.script.resolve(node).rpartition(".")[2]
            parent, field, _ = self.source.places[node]
            if isinstance(parent, ast.Call) and field == "func":
                yield parent, _later(self._constructor, parent, node, name)
            else:
                yield node, _later(self._reference, node, name)

    def _references(self) -> list[ast.Attribute | ast.Name]:
        nodes: list[ast.Attribute | ast.Name] = [*self.script.of_type(ast.Attribute), *self.script.of_type(ast.Name)]
        named = [node for node in nodes if isinstance(node.ctx, ast.Load) and self.script.resolve(node) in _NORMS]
        return [node for node in named if not self._annotates(node)]

    def _annotates(self, node: ast.AST) -> bool:
        """Does it stand in a type annotation, which builds nothing."""
        around = (node, *self.source.ancestors(node))
        return any(
            self.source.places[one][1] in ("annotation", "returns") for one in around if one in self.source.places
        )

    def _new(self, name: str) -> str:
        if name.startswith("Lazy"):
            raise Refused(f"`{name}` is lazy: its width is set by the first batch")
        if name not in self.target.only:
            raise Refused(f"source does not tell what `{name}` would become as `{self.kind}`")
        return self.target.kind.format(rank=name[-2:])

    def _constructor(self, call: ast.Call, callee: ast.expr, name: str) -> tuple[str, Fix]:
        new = self._new(name)
        rewrite = CallRewrite(self.source, call)
        arguments = dict(rewrite.named(name))
        if "num_features" not in arguments:
            raise Refused(f"`{name}` is built without a width")
        width = arguments["num_features"]
        if self.kind == "group" and not _reads_only(width):
            # The width is computed by a call, which must not run twice.
            text = self.support.factory(callee, name, new)
            rewrite.keep(name, self.target.keeps | {"num_features": "channels"}, ["channels"])
        else:
            text = self.support.class_name(callee, new)
            grouped = self.target.keeps is _GROUPED
            rewrite.keep(name, self.target.keeps, positional(new)[grouped:])
            if grouped:
                rewrite.prepend(self._groups(width, name))
        if self.kind == "instance" and "affine" not in {*arguments, *rewrite.options}:
            rewrite.append("affine", "True")
        rewrite.callee(text)
        self.support.swapped.add(callee)
        return f"{name} -> {text.rpartition('.')[2]}", rewrite.fix()

    def _groups(self, width: ast.expr, name: str) -> str:
        flat = name in ("BatchNorm1d", "SyncBatchNorm")  # may norm (N, C), where a group of one channel is one element
        least = 2 if flat else 1
        if isinstance(width, ast.Constant) and isinstance(width.value, int):
            return str(group_count(width.value, 1 if self.kind == "layer" else self.most, least))
        if self.kind == "layer":
            return "1"
        start, end = self.source.span(width)
        return self.support.groups(self.source.text[start:end], least)

    def _reference(self, node: ast.expr, name: str) -> tuple[str, Fix]:
        new = self._new(name)
        self._check_use(node, name)
        text = self.support.factory(node, name, new)
        edit = Fix((Edit(*self.source.span(node), text),), lambda: self.source.replace(node, expression(text)))
        self.support.swapped.add(node)
        partial = self.source.places[node][0]
        what = f"{name} -> {text}"
        if not isinstance(partial, ast.Call) or not self.script.resolve(partial.func).endswith("partial"):
            return what, edit
        if len(partial.args) > 1:
            raise Refused(f"`partial` is given positional arguments for `{name}`")
        rewrite = CallRewrite(self.source, partial)
        if any(one.arg is None for one in partial.keywords):
            raise Refused("its starred arguments may hold anything")
        for index in reversed(range(len(partial.keywords))):
            if partial.keywords[index].arg not in self.target.keeps:
                rewrite.remove(index + 1)
        rest = rewrite.fix()

        def intend() -> None:
            rest.intend()
            edit.intend()

        return what, Fix((*edit.edits, *(one for one in rest.edits if one.start < one.end)), intend)

    def _check_use(self, node: ast.expr, name: str) -> None:
        """Is it handed on to be called: a default, an argument, an assignment. Raises `Refused` elsewhere."""
        parent, field, _ = self.source.places[node]
        called = ast.unparse(parent.func) if isinstance(parent, ast.Call) else ""
        if called in ("isinstance", "issubclass") or isinstance(parent, (ast.Tuple, ast.Compare)):
            raise Refused(f"`{name}` is only asked for here, and no longer meets the swapped layers")
        if isinstance(parent, ast.ClassDef):
            raise Refused(f"`{parent.name}` is a class of its own, derived from `{name}`")
        handed_on = (
            (isinstance(parent, ast.arguments) and field in ("defaults", "kw_defaults"))
            or isinstance(parent, (ast.keyword, ast.Assign, ast.AnnAssign, ast.BoolOp, ast.IfExp))
            or (isinstance(parent, ast.Call) and field == "args")
        )
        if not handed_on:
            raise Refused(f"`{name}` is neither called here nor handed on to be called")
        for call in self.script.of_type(ast.Call):
            callee = self.script.resolve(call.func)
            lost = _LOST & {one.arg for one in call.keywords}
            if "norm" in callee.rpartition(".")[2].lower() and not callee.startswith("torch.") and lost:
                raise Refused(
                    f"line {call.lineno} passes `{min(lost)}` to `{callee}`, which the new norm does not take"
                )


def _reads_only(width: ast.expr) -> bool:
    """Is it made of names, numbers and arithmetic, so that it may be written twice."""
    inner = (ast.expr_context, ast.operator, ast.unaryop)
    return all(isinstance(node, (*_PURE, *inner)) for node in ast.walk(width))


def _later(make: Callable[..., tuple[str, Fix]], *arguments: object) -> Callable[[], tuple[str, Fix]]:
    return lambda: make(*arguments)
