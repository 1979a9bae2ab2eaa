"""What an expression can stand for."""

from __future__ import annotations

import ast

from normfix.graph import Call, Layer, Unknown
from normfix.script import Script

TYPE_CHECKING = False
if TYPE_CHECKING:
    from normfix.readers.interpreter.arguments import Arguments


class Constant:
    """A Python value that is known: a number, a string, a bool, None, an ellipsis."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


class Dotted:
    """A name that was imported, or one of Python's own: "torch.nn.Conv2d", "builtins.range"."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Fork:
    """Elements of a list that depend on a branch: one of several sequences stands here."""

    __slots__ = ("alternatives",)

    def __init__(self, alternatives: list[list[Part]]) -> None:
        self.alternatives = alternatives


class Repeat:
    """Elements of a list that a loop adds: this sequence, any number of times."""

    __slots__ = ("parts",)

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts


class Items:
    """A list, a tuple, or anything that is iterated."""

    __slots__ = ("content", "kind", "leaked")

    def __init__(self, content: list[Part], kind: str = "list") -> None:
        self.content = content
        self.kind = kind
        self.leaked: Unknown | None = None

    def plain(self) -> list[Value] | None:
        """The elements, where each one is known to be there; None otherwise."""
        if self.leaked is not None or any(isinstance(part, (Fork, Repeat)) for part in self.content):
            return None
        return self.content  # type: ignore[return-value]  # neither Fork nor Repeat is left


class Table:
    """A dict. `leaked` is set when it may hold other keys too."""

    __slots__ = ("content", "leaked")

    def __init__(self, content: dict[object, Value], leaked: Unknown | None = None) -> None:
        self.content = content
        self.leaked = leaked


class Scope:
    """The names of one function, comprehension or module."""

    __slots__ = (
        "content",
        "function",
        "outer",
        "owner",
        "parent",
        "pending",
        "receiver",
        "returns",
        "script",
        "yields",
    )

    def __init__(self, parent: Scope | None, script: Script, owner: str = "") -> None:
        self.content: dict[str, Value] = {}
        self.parent = parent
        self.script = script
        self.owner = owner
        self.function: Function | None = None
        self.receiver: Instance | None = None
        self.returns: list[Value] = []
        self.yields: Items | None = None
        """What a generator that is run yields."""
        self.outer: set[str] = set()
        """Names that are declared global or nonlocal."""
        self.pending: dict[str, list[ast.AST]] = {}
        """What binds the names of a file that were not asked for yet."""


class Class:
    """A class of the file, or of a file beside it."""

    __slots__ = ("lineage", "members", "node", "scope")

    def __init__(self, node: ast.ClassDef, scope: Scope) -> None:
        self.node = node
        self.scope = scope
        self.lineage: list[Class] | None = None
        """The class and its bases, once they were asked for; at the top level of a file they stay."""
        self.members: dict[str, Member] | None = None
        """Methods, and the expressions of attributes, once they were asked for."""


class Function:
    """A function or lambda of the file, with the scope that it was made in and the class that holds it."""

    __slots__ = ("home", "node", "scope")

    def __init__(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope, home: Class | None = None
    ) -> None:
        self.node = node
        self.scope = scope
        self.home = home


class Instance:
    """An object of a class of the file; `content` holds its attributes."""

    __slots__ = ("children", "cls", "content", "dynamic", "given", "itself")

    def __init__(self, cls: Class) -> None:
        self.cls = cls
        self.itself: Layer | None = None
        """The layer that it is, of a subclass of a convolution."""
        self.given: Arguments | None = None
        """What its constructor passes to that of its base."""
        self.content: dict[str, Value] = {}
        self.children: Container | None = None
        """The layers in order, of a subclass of nn.Sequential."""
        self.dynamic: Unknown | None = None
        """Set when attributes were set whose names are not known."""


class Container:
    """An nn.Sequential, ModuleList or ModuleDict."""

    __slots__ = ("called", "escaped", "handed", "items", "kind", "name", "node", "scope", "table")

    def __init__(self, kind: str, items: Items, table: Table, node: ast.AST, scope: Scope) -> None:
        self.kind = kind
        self.items = items
        self.table = table
        """Children by name, where they have one."""
        self.node = node
        self.scope = scope
        self.name = ""
        self.called = False
        self.escaped = False
        self.handed = False
        """Was it put into something else, which calls it."""


class Method:
    """A method of something that is no object of the file: `x.view`, `layers.append`, `self.conv.to`."""

    __slots__ = ("call", "name", "receiver")

    def __init__(self, receiver: Value, name: str) -> None:
        self.receiver = receiver
        self.name = name
        self.call: Call | None = None
        """The read, once it turned out to be an attribute that holds a tensor: `output.last_hidden_state`."""


class Bound:
    """A method of an object of the file."""

    __slots__ = ("function", "receiver")

    def __init__(self, function: Function, receiver: Instance) -> None:
        self.function = function
        self.receiver = receiver


class Partial:
    """A callable with some arguments given."""

    __slots__ = ("arguments", "callee")

    def __init__(self, callee: Value, arguments: Arguments) -> None:
        self.callee = callee
        self.arguments = arguments


class Super:
    """`super()` in a method."""

    __slots__ = ("home", "receiver")

    def __init__(self, home: Class, receiver: Instance) -> None:
        self.home = home
        self.receiver = receiver


class Submodule:
    """Any layer inside an object: what `self.modules()` gives."""

    __slots__ = ("owner",)

    def __init__(self, owner: Value) -> None:
        self.owner = owner


class Choice:
    """One of several values, by branches that were not decided."""

    __slots__ = ("call", "options")

    def __init__(self, options: list[Value]) -> None:
        self.options = options
        self.call: Call | Unknown | None = None
        """The join, once the value was used as a tensor."""


class Missing:
    """No value: an attribute or name that one branch does not set."""


MISSING = Missing()
NONE = Constant(None)

Value = (
    Constant
    | Dotted
    | Items
    | Table
    | Class
    | Function
    | Instance
    | Container
    | Method
    | Bound
    | Partial
    | Super
    | Submodule
    | Choice
    | Missing
    | Unknown
    | Call
    | Layer
)
Member = ast.FunctionDef | ast.AsyncFunctionDef | ast.expr
Part = Value | Fork | Repeat
Box = Items | Table | Scope | Instance
MODULES = (Layer, Container, Instance)
