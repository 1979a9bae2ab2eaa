"""The layer graph: what a reader knows of a network, in plain Python.

A `Layer` is constructed once; a `Call` uses it. A fix belongs to the layer, an edge to the call. A fact that a
reader could not establish is an `Unknown` with its reason; asking for it raises `Undecided`, which the engine
catches, so that a check abstains instead of guessing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from normfix import vocabulary
from normfix.records import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from normfix.script import Script

    T = TypeVar("T")
Shape = tuple[int, ...]


class Undecided(Exception):
    """A fact that a check asked for is not known; `reason` says why, in one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Unknown:
    """Stands where a fact is missing."""

    reason: str


def known(fact: T | Unknown) -> T:
    """The fact itself. Raises `Undecided` where it is missing."""
    if isinstance(fact, Unknown):
        raise Undecided(fact.reason)
    return fact


@dataclass(frozen=True, slots=True)
class Origin:
    """A span of source text: lines and columns count from 1, columns in characters, the end is exclusive."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    cell: int | None = None
    """Number of the notebook cell, from 1; lines then count within the cell."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where something is: in source text, at a module path (or ONNX node, or checkpoint key), or both."""

    origin: Origin | None = None
    module: str | None = None


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a constructor or an operation, as it was passed."""

    value: object
    """The Python value, or `Unknown`. Tensors stand as `Unknown`."""
    text: str = ""
    """As written in source; empty elsewhere."""
    position: int | None = None
    """Index among the positional arguments; None for a keyword."""
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Tensor:
    """A parameter or buffer, without its library. `values` gives the elements, flattened, as floats."""

    shape: Shape
    dtype: str
    """As torch names it, without the prefix: "float32"."""
    device: str
    values: Callable[[], Sequence[float]]
    """Raises `Undecided` where there are none (meta device, ShapeDtype only)."""
    requires_grad: bool = False
    names: tuple[str, ...] = ()
    """Every name in the state dict that stands for this same memory."""


@dataclass(eq=False, slots=True)
class Layer:
    """One constructed layer, or the operation of one functional call."""

    kind: str
    """A name of `vocabulary`: "Conv2d", "relu", "timm.BatchNormAct2d"; "unknown" with `reason` otherwise."""
    name: str
    """As its users know it: "self.bn1" in source, "features.0.bn" in a model."""
    site: Site = Site()
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    """By parameter name; a parameter that is absent has its default."""
    incomplete: Unknown | None = None
    """Set when arguments were passed that could not be read (`**options`)."""
    reason: str = ""
    """Why the kind is "unknown"."""
    state: Mapping[str, Tensor] = field(default_factory=dict)
    """Parameters and buffers by their local name; empty when read from source."""
    training: bool | Unknown = Unknown("source does not tell the mode of a layer")
    owner: str = ""
    """The class whose code constructs this layer (source), or the type of the parent module (model)."""
    aliases: tuple[str, ...] = ()
    """Every module path under which this one object is registered."""
    helper: str = ""
    """The function that constructs it for this class, and for others that are not seen; the site is the call of it."""
    wrappers: tuple[str, ...] = ()
    """Reparametrizations put on it: "weight_norm", "weight_norm(dim=1)", "spectral_norm"."""
    escapes: Unknown | None = None
    """Set when it may be used, or is constructed, somewhere that the reader does not see."""
    recomputed: bool = False
    """Does activation checkpointing run it once more in the backward pass; only a live model tells."""
    repeated: bool = False
    """Does a loop construct it (source): then it stands for several, and two calls may be of two of them."""

    def __repr__(self) -> str:
        return f"<Layer {self.name!r}: {self.kind}>"

    def argument(self, name: str) -> Argument | None:
        """The argument as passed; None where the default is in force. Raises `Undecided` if it cannot be told."""
        argument = self.arguments.get(name)
        if argument is None and self.incomplete is not None:
            raise Undecided(f"`{name}` of `{self.name}`: {self.incomplete.reason}")
        return argument

    def value(self, name: str) -> object:
        """The value of a hyper-parameter, its default included. Raises `Undecided`."""
        argument = self.argument(name)
        if argument is None:
            default = vocabulary.default(self.kind, name)
            if default is ...:
                raise Undecided(f"`{name}` of `{self.name}` is not given")
            return default
        if isinstance(argument.value, Unknown):
            raise Undecided(f"`{name}` of `{self.name}`: {argument.value.reason}")
        return argument.value

    def integer(self, name: str) -> int:
        """The value of a hyper-parameter that must be an int (a bool is not)."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Undecided(f"`{name}` of `{self.name}` is `{value!r}`, not an integer")
        return value

    def number(self, name: str) -> float:
        """The value of a hyper-parameter that must be an int or a float (a bool is not)."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Undecided(f"`{name}` of `{self.name}` is `{value!r}`, not a number")
        return value

    def flag(self, name: str) -> bool:
        """The truth of a hyper-parameter, as torch would take it."""
        return bool(self.value(name))


@dataclass(eq=False, slots=True)
class Call:
    """One use of a layer in a forward pass."""

    layer: Layer
    inputs: tuple[Call | Unknown, ...] = ()
    """The tensors it reads, in order. A model input is a call of kind "input"; a join of branches is "either"."""
    shape: Shape | Unknown = Unknown("the shape is not known without example inputs")
    dtype: str | Unknown = Unknown("the dtype is not known without example inputs")
    site: Site = Site()
    training: bool | Unknown = Unknown("the mode of this call is not known")
    """For a norm: does it normalise with the statistics of its input and update its buffers."""
    escapes: Unknown | None = None
    """Set when the result goes somewhere that the reader does not see."""
    branches: tuple[tuple[int, int], ...] = ()
    """Which alternative of which branching it stands in, outermost first; empty where there is none."""

    def __repr__(self) -> str:
        """Without the calls that it reads: written out, these would be as many as there are paths to it."""
        shape = self.shape if isinstance(self.shape, tuple) else "shape unknown"
        return f"<Call of {self.layer.name!r}: {self.kind}, {shape}>"

    @property
    def kind(self) -> str:
        return self.layer.kind

    def producer(self, index: int = 0) -> Call:
        """The call whose result is read at `index`. Raises `Undecided` where it is not known."""
        if index >= len(self.inputs):
            raise Undecided(f"what feeds `{self.layer.name}` is not known")
        producer = known(self.inputs[index])
        if producer.kind == "unknown":
            raise Undecided(f"what feeds `{self.layer.name}` is not understood: {producer.layer.reason}")
        return producer

    def input_shape(self, index: int = 0) -> Shape:
        """The shape of the tensor read at `index`. Raises `Undecided` where it is not known."""
        if index >= len(self.inputs):
            raise Undecided(f"the input shape of `{self.layer.name}` is not known")
        return known(known(self.inputs[index]).shape)


@dataclass(eq=False, slots=True)
class Definition:
    """A class that a live model is made of, as far as its methods are its own."""

    name: str
    """With the classes around it: "Net.Block"."""
    methods: frozenset[str]
    """Those that instances run: written in this class, and not overridden."""
    modules: tuple[str, ...]
    """The paths of the instances."""
    script: Callable[[], Script]
    """The file that it is written in. Raises `Undecided` where there is none to read."""
    line: int = 0
    """A line within it: a file may define the name twice."""


@dataclass(eq=False)
class LayerGraph:
    """The layers and calls of one network (a model, an ONNX file) or of one class (source)."""

    name: str
    layers: list[Layer] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    """In the order of execution."""
    outputs: list[Call] = field(default_factory=list)
    """What the forward pass returns."""
    open: Unknown | None = None
    """Set when the calls are not known, or not all of them."""
    wrappers: Sequence[str] = ()
    """What stands around a live model: "DataParallel", "GradSampleModule"."""
    definitions: Sequence[Definition] = ()
    """The classes that a live model is made of; those of torch are left out."""
    under: Callable[[Mapping[str, object]], LayerGraph] | None = field(default=None, repr=False)
    """The graph where parameters have these values: {"use_bn": True, "cfg.norm": "bn"}. Only from source."""
    _readers: dict[int, list[Call]] | None = field(default=None, repr=False)
    _calls: dict[int, list[Call]] | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"<LayerGraph {self.name!r}: {len(self.layers)} layers, {len(self.calls)} calls>"

    def readers(self, call: Call) -> list[Call]:
        """The calls that read this call's result. Raises `Undecided` where others may read it too."""
        if self.open is not None:
            raise Undecided(self.open.reason)
        if call.escapes is not None:
            raise Undecided(f"the output of `{call.layer.name}` may be read elsewhere: {call.escapes.reason}")
        if self._readers is None:
            self._readers = {}
            for reader in self.calls:
                for source in dict.fromkeys(reader.inputs):
                    if isinstance(source, Call):
                        self._readers.setdefault(id(source), []).append(reader)
        return self._readers.get(id(call), [])

    def calls_of(self, layer: Layer) -> list[Call]:
        """Every call of a layer. Raises `Undecided` where there may be others."""
        if self.open is not None:
            raise Undecided(self.open.reason)
        if layer.escapes is not None:
            raise Undecided(f"`{layer.name}` may be used elsewhere: {layer.escapes.reason}")
        if self._calls is None:
            self._calls = {}
            for call in self.calls:
                self._calls.setdefault(id(call.layer), []).append(call)
        return self._calls.get(id(layer), [])

    def is_output(self, call: Call) -> bool:
        return any(call is output for output in self.outputs)

    def only_reader(self, call: Call) -> Call:
        """The one call that reads this result. Raises `Undecided` where there are none or several."""
        readers = self.readers(call)
        if len(readers) != 1 or self.is_output(call):
            raise Undecided(f"the output of `{call.layer.name}` has other readers")
        return readers[0]


def exclusive(first: Call, second: Call) -> bool:
    """Do these calls stand in different alternatives of one branching, so that one forward pass runs one of them."""
    taken = dict(first.branches)
    return any(taken.get(branching, alternative) != alternative for branching, alternative in second.branches)
