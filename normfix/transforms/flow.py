"""What feeds what: an exported program, seen together with the model that it was captured from.

torch.export gives one node for each ATen operation, the module path of each, and the name in the state dict of each
tensor that it reads. That is the proof of the dataflow; the modules are what a transform edits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature
from torch.nn.parameter import is_lazy

from normfix.errors import Refused
from normfix.readers.live.operators import writes_to
from normfix.transforms.inlining import enclosed, inlined, literals
from normfix.transforms.nodes import operation

_SHAPE_ONLY = {
    **dict.fromkeys(("reshape_as", "view_as", "expand_as", "type_as"), 1),
    **dict.fromkeys(("_assert_tensor_metadata", "sym_size", "zeros_like", "ones_like", "empty_like", "full_like"), 0),
    **dict.fromkeys(("rand_like", "randn_like", "new_zeros", "new_ones", "new_empty", "new_full"), 0),
}
"""Operations that look at the shape or dtype of one argument, and never at its values: its position."""

_SHOWN = 3
"""So many readers are named."""


@dataclass(frozen=True, slots=True)
class Step:
    """One module call that a node ran in: the module's path, and a key that differs from call to call."""

    key: str
    path: str


@dataclass(frozen=True, slots=True)
class Trace:
    """An exported program without the state of the model: it outlives the model that it was captured from."""

    graph: fx.Graph
    signature: ExportGraphSignature
    enclosed: Mapping[str, str]
    """Modules that ran in a graph within the graph, by path, and the operation that holds it."""
    literals: Mapping[str, Tensor]
    """Tensors that forward writes out or plain attributes hold, by the name of their node."""

    @classmethod
    def of(cls, program: ExportedProgram) -> Trace:
        graph = inlined(program.graph_module)
        return cls(graph, program.graph_signature, enclosed(program.graph_module), literals(program))


class Flow:
    """The dataflow of a model. Tensors and modules go by one canonical name each, whatever aliases they have."""

    def __init__(self, model: nn.Module, trace: Trace, unsteady: Mapping[str, str] | None = None) -> None:
        self.model = model
        self.enclosed = trace.enclosed
        self.literals = trace.literals
        self.unsteady = unsteady or {}
        """Modules that other sizes of the input call more or less often, each with a sentence."""
        self.nodes = list(trace.graph.nodes)
        self.paths = {id(module): path for path, module in model.named_modules()}
        self.aliases = _tensor_aliases(model)
        self.shared = sharing(model)
        names = {**trace.signature.inputs_to_parameters, **trace.signature.inputs_to_buffers}
        self._names = {node: name for node, name in names.items() if name in self.aliases}
        self._holders: dict[str, list[fx.Node]] = {}
        for node in self.nodes:
            name = self.tensor(node)
            if name is not None:
                self._holders.setdefault(name, []).append(node)
        self.writes = [
            (node, targets) for node in self.nodes if operation(node) != "detach" and (targets := writes_to(node))
        ]
        """Operations that write into tensors, and which."""
        self._positions = {node: position for position, node in enumerate(self.nodes)}
        self._steps: dict[fx.Node, list[Step]] = {}
        self._at_home: dict[str, list[fx.Node]] = {}
        self.kept: dict[int, str] | None = None
        """Modules that plain attributes hold, by id; worked out when it is first asked for."""
        self.removed: dict[fx.Node, fx.Node] = {}
        """Results of folded norms, and the node that each hands on."""
        self.closed: set[fx.Node] = set()
        """Results of norms that were folded, and do not hand on what they read: nothing moves through them."""

    def tensor(self, argument: object) -> str | None:
        """The canonical state dict name of a parameter or buffer that a node reads; None for anything else."""
        if not isinstance(argument, fx.Node) or argument.op != "placeholder":
            return None
        name = self._names.get(argument.name)
        return None if name is None else self.aliases[name][0]

    def position(self, node: fx.Node) -> int:
        """When this node runs, among all."""
        return self._positions[node]

    @cached_property
    def varying(self) -> frozenset[fx.Node]:
        """The nodes that depend on the inputs of the model."""
        found: set[fx.Node] = set()
        for node in self.nodes:
            given = node.op == "placeholder" and node.name not in self.literals and self.tensor(node) is None
            if given or any(part in found for part in node.all_input_nodes):
                found.add(node)
        return frozenset(found)

    def readers(self, node: fx.Node) -> list[fx.Node]:
        """The nodes that read the values of this one."""
        return [user for user in node.users if not _reads_shape_only(user, node)]

    def readers_of(self, name: str) -> list[fx.Node]:
        """The nodes that read the parameter or buffer of this name."""
        return [reader for holder in self._holders.get(name, ()) for reader in self.readers(holder)]

    def only_reader(self, node: fx.Node) -> fx.Node:
        """The one node that reads this one. Raises `Refused` where there are others, the model's output among them."""
        readers = self.readers(node)
        if len(readers) != 1:
            names = list(
                dict.fromkeys("the output of the model" if r.op == "output" else self.name(r) for r in readers)
            )
            by = f", by {' and '.join(names[:_SHOWN])}{' and others' * (len(names) > _SHOWN)}" if names else ""
            raise Refused(f"the output of {self.name(node)} is read {len(readers)} times{by}")
        if readers[0].op == "output":
            raise Refused(f"the output of {self.name(node)} is an output of the model")
        return readers[0]

    def steps(self, node: fx.Node) -> list[Step]:
        """The module calls that a node ran in, outermost first."""
        if node not in self._steps:
            self._steps[node] = self._stack(node)
        return self._steps[node]

    def _stack(self, node: fx.Node) -> list[Step]:
        stack = node.meta.get("nn_module_stack") or {}
        found = []
        for key, (path, _) in stack.items():
            plain = path.split("@")[0]
            module = self.module(plain)
            if module is not None:
                found.append(Step(key, self.paths[id(module)]))
        return found

    def module(self, path: str) -> nn.Module | None:
        try:
            return self.model.get_submodule(path)
        except AttributeError:
            return None

    def home(self, node: fx.Node) -> str:
        """The path of the innermost module whose forward made this node; "" for the model itself."""
        steps = self.steps(node)
        return steps[-1].path if steps else ""

    def at_home(self, path: str) -> list[fx.Node]:
        """The nodes that the forward of this module made itself."""
        if not self._at_home:
            for node in self.nodes:
                self._at_home.setdefault(self.home(node), []).append(node)
        return self._at_home.get(path, [])

    def name(self, node: fx.Node) -> str:
        """What a reader of a message knows this node as: the layer's path, else the operation."""
        if node.op == "placeholder":
            return f"the input `{node.name}`"
        home = self.home(node)
        module = self.module(home)
        if module is not None and home and not any(True for _ in module.children()):
            return f"`{home}`"
        return f"`{operation(node)}`" + (f" in `{home}`" if home else "")


def _reads_shape_only(user: fx.Node, node: fx.Node) -> bool:
    position = _SHAPE_ONLY.get(operation(user))
    return position is not None and [at for at, part in enumerate(user.args) if part is node] == [position]


def _tensor_aliases(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """For every tensor of the state dict, all names of the same object, the canonical one first."""
    by_object: dict[int, list[str]] = {}
    for name, tensor in _tensors(model):
        by_object.setdefault(id(tensor), []).append(name)
    return {name: tuple(names) for names in by_object.values() for name in names}


def _tensors(model: nn.Module) -> Iterable[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def sharing(model: nn.Module) -> dict[str, list[str]]:
    """For every tensor, the names of other tensor objects that share its memory."""
    by_memory: dict[tuple[str, int], dict[int, str]] = {}
    for name, tensor in _tensors(model):
        if tensor.device.type != "meta" and not is_lazy(tensor):
            pointer = tensor.untyped_storage().data_ptr()
            if pointer:
                by_memory.setdefault((str(tensor.device), pointer), {}).setdefault(id(tensor), name)
    return {
        name: [other for other in names.values() if other != name]
        for names in by_memory.values()
        if len(names) > 1
        for name in names.values()
    }


def same_module(model: nn.Module, names: Sequence[str]) -> bool:
    """Do these names of one tensor all come from one module object that is registered more than once."""
    return len({id(model.get_submodule(name.rpartition(".")[0])) for name in names}) == 1
