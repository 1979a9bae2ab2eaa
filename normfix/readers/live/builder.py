"""Builds a layer graph from the nodes of a trace: who made each value, and what became of it in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import fx

from normfix import graph
from normfix.readers.live.layers import Modules
from normfix.readers.live.lines import line_of

_NO_SHAPE = graph.Unknown("the shape is not known without example inputs")
_NO_DTYPE = graph.Unknown("the dtype is not known without example inputs")


class Builder:
    """Collects calls in the order of execution. `values` holds the call whose result a node stands for now."""

    def __init__(self, modules: Modules) -> None:
        self.modules = modules
        self.calls: list[graph.Call] = []
        self.values: dict[fx.Node, graph.Call] = {}
        self.nodes: dict[graph.Call, tuple[fx.Node, ...]] = {}
        """The nodes that each call was collapsed from; empty for inputs and constants."""
        self.stored: dict[fx.Node, str] = {}
        """The name of the parameter or buffer that a node reads."""
        self._unread: set[graph.Call] = set()
        """Calls that stand for tensors which were changed through a view, until somebody reads one."""
        self._constants: dict[str, graph.Call] = {}
        self._base: dict[fx.Node, fx.Node] = {}
        self._views: dict[fx.Node, list[fx.Node]] = {}

    def add(
        self,
        layer: graph.Layer,
        inputs: Iterable[graph.Call | graph.Unknown] = (),
        nodes: tuple[fx.Node, ...] = (),
        result: fx.Node | None = None,
        path: str | None = None,
        training: bool | graph.Unknown | None = None,
    ) -> graph.Call:
        """Append a call of `layer`, whose result is that of the node `result`."""
        call = self._make(layer, inputs, nodes, result, path, training)
        self.calls.append(call)
        return call

    def _make(
        self,
        layer: graph.Layer,
        inputs: Iterable[graph.Call | graph.Unknown],
        nodes: tuple[fx.Node, ...],
        result: fx.Node | None,
        path: str | None,
        training: bool | graph.Unknown | None,
    ) -> graph.Call:
        shape, dtype = facts_of(result)
        call = graph.Call(
            layer=layer,
            inputs=tuple(dict.fromkeys(inputs)),
            shape=shape,
            dtype=dtype,
            site=graph.Site(line_of(nodes), layer.site.module if path is None else path),
            training=layer.training if training is None else training,
        )
        self.nodes[call] = nodes
        if result is not None:
            self.values[result] = call
        return call

    def read(self, node: fx.Node) -> graph.Call | graph.Unknown:
        """The call whose result stands in `node` at this moment; a stored tensor becomes a call when first read."""
        if node in self.values:
            return self._kept(self.values[node])
        if node in self.stored:
            return self.constant(self.stored[node], node)
        return graph.Unknown(f"`{node.name}` is no tensor of the graph")

    def _kept(self, call: graph.Call) -> graph.Call:
        """This call, which stands among the others from now on if it did not yet."""
        if call in self._unread:
            self._unread.remove(call)
            for source in call.inputs:
                if isinstance(source, graph.Call):
                    self._kept(source)
            self.calls.append(call)
        return call

    def constant(self, name: str, node: fx.Node) -> graph.Call:
        """The call that stands for a parameter, a buffer or another stored tensor."""
        if name not in self._constants:
            tensor = self.modules.tensors.get(name)
            state = {name.rpartition(".")[2]: tensor} if tensor is not None else {}
            layer = graph.Layer("constant", name, graph.Site(module=name), state=state)
            self._constants[name] = self.add(layer, training=False)
            if tensor is not None:
                self._constants[name].shape, self._constants[name].dtype = tensor.shape, tensor.dtype
            else:
                self._constants[name].shape, self._constants[name].dtype = facts_of(node)
        return self._constants[name]

    def look(self, view: fx.Node, source: fx.Node) -> None:
        """Remember that `view` looks into the memory of `source`."""
        base = self._base.get(source, source)
        self._base[view] = base
        self._views.setdefault(base, []).append(view)

    def change(self, target: fx.Node, by: fx.Node) -> None:
        """`by` changed the tensor `target` in place: whoever reads it later reads the result of `by`, and what
        shares its memory holds values that this graph does not describe."""
        written = self.values.get(by)
        if written is None:
            return
        base = self._base.get(target, target)
        for other in (base, *self._views.get(base, ())):
            if other in (target, by) or other not in self.values:
                continue
            layer = graph.Layer(
                "unknown",
                other.name,
                written.layer.site,
                reason=f"`{written.layer.name}` changes `{other.name}` in place through a view",
            )
            inputs = (self.values[other], written)
            # Nearly always nobody reads the tensor again, and there is no such call.
            self._unread.add(self._make(layer, inputs, (), other, None, training=False))
        if target in self.values or target in self.stored:
            self.values[target] = written


def tensors_in(value: object) -> Iterator[fx.Node]:
    """The nodes in the arguments of a node, in order, nested ones too."""
    if isinstance(value, fx.Node):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)


def facts_of(node: fx.Node | None) -> tuple[graph.Shape | graph.Unknown, str | graph.Unknown]:
    """Shape and dtype of the tensor that a node stands for."""
    value = node.meta.get("val") if node is not None else None
    if value is None:
        return _NO_SHAPE, _NO_DTYPE
    if not isinstance(value, torch.Tensor):
        several = graph.Unknown("not a single tensor")
        return several, several
    dtype = str(value.dtype).removeprefix("torch.")
    if not all(isinstance(size, int) for size in value.shape):
        return graph.Unknown("a size depends on the values of the input"), dtype
    return tuple(int(size) for size in value.shape), dtype


def is_tensor(node: fx.Node) -> bool:
    """Does a node stand for a tensor or several; a trace without example inputs does not tell, so it may."""
    value = node.meta.get("val", ...)
    if isinstance(value, (list, tuple)):
        return any(isinstance(item, torch.Tensor) for item in value)
    return value is ... or isinstance(value, torch.Tensor)
