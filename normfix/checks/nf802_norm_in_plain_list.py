"""NF802 norm-in-plain-list: layers kept in a Python list or dict, which the module does not know of."""

import ast
from collections.abc import Iterator

from normfix import norms, vocabulary
from normfix.checks._contained import may_contain_layers
from normfix.checks._spelled import may_define_module
from normfix.engine import SOURCE, Facts, Rule, on_node
from normfix.findings import Problem, Safety, Severity, WrapExpression
from normfix.script import FUNCTIONS, Script, walk
from normfix.usage.networks import classes, contents, is_torch_class, layer_kind
from normfix.usage.steps import Scope, dotted, scopes

RULE = Rule("NF802", "norm-in-plain-list", Severity.ERROR, readers=SOURCE)
STATEFUL = norms.NORMS | vocabulary.PRODUCERS | vocabulary.DROPOUTS | {"Embedding", "LSTM", "GRU", "RNN", "Sequential"}
REGISTRARS = frozenset(
    "ModuleList ModuleDict Sequential add_module register_module setattr __setattr__ extend update".split()
)
_DISPLAYS = (ast.List, ast.Dict, ast.ListComp, ast.DictComp, ast.BinOp)
_BUILDERS = ("dict", "list", "OrderedDict")
"""Functions that build a plain container."""


@on_node(RULE, ast.ClassDef, words=(may_define_module, may_contain_layers))
def norm_in_plain_list(node: ast.ClassDef, facts: Facts) -> Iterator[Problem]:
    """A list or dict of layers that is stored on a module, and registered nowhere in its class."""
    script = facts.script
    if script is None or not _stores_any(node):
        return
    methods = [scopes(script)[one] for one in node.body if isinstance(one, FUNCTIONS)]
    stored = [(scope, name, value) for scope in methods for name, value in _stored(scope)]
    if not stored or not is_torch_class(script, node) or _registers_itself(methods):
        return
    registered = _registered(methods)
    for scope, name, value in stored:
        layer = _layer_in(script, methods, scope, name, value, registered) if name not in registered else ""
        if layer:
            yield _problem(script, name, layer, value)


def _stores_any(node: ast.ClassDef) -> bool:
    """Does any statement of a method, at whatever depth, put a container or a name on `self`."""
    todo = [one for method in node.body if isinstance(method, FUNCTIONS) for one in method.body]
    while todo:
        one = todo.pop()
        if isinstance(one, (ast.Assign, ast.AnnAssign)):
            if not isinstance(one.value, ast.Name) and not _is_plain(one.value):
                continue
            targets = one.targets if isinstance(one, ast.Assign) else [one.target]
            if any(isinstance(target, ast.Attribute) and dotted(target.value) == "self" for target in targets) and (
                not isinstance(one.value, ast.Name) or one.value.id not in _parameters(node)
            ):
                return True
        elif not isinstance(one, (ast.Expr, ast.Return)):
            todo += [inner for name in ("body", "orelse", "finalbody") for inner in getattr(one, name, ())]
    return False


def _parameters(node: ast.ClassDef) -> set[str]:
    """Names of the parameters of its methods: what they hold is not written here."""
    methods = [one for one in node.body if isinstance(one, FUNCTIONS)]
    return {one.arg for method in methods for one in (*method.args.args, *method.args.kwonlyargs)}


def _stored(scope: Scope) -> Iterator[tuple[str, ast.expr]]:
    """Attributes that are given one value in a method: a container, or a name that may stand for one."""
    for name, values in scope.bound.items():
        value = values[0] if len(values) == 1 or not any(values[1:]) else None
        if isinstance(value, ast.Name):
            value = value if _is_plain(scope.value(value.id)) else None
        if name.startswith("self.") and name.count(".") == 1 and (isinstance(value, ast.Name) or _is_plain(value)):
            yield name, value  # type: ignore[misc]  # it is an expression, as just tested


def _is_plain(value: ast.expr | None) -> bool:
    """Is this a list or dict, written out or built by a call of Python's own."""
    if isinstance(value, ast.Call):
        return dotted(value.func).rpartition(".")[2] in _BUILDERS
    return isinstance(value, _DISPLAYS)


def _problem(script: Script, name: str, layer: str, value: ast.expr) -> Problem:
    named = isinstance(value, ast.Dict | ast.DictComp) or (isinstance(value, ast.Call) and dotted(value.func) != "list")
    container = "ModuleDict" if named else "ModuleList"
    namespace = next((one for one, meaning in script.imports.items() if meaning == "torch.nn"), "torch.nn")
    from normfix.remedies.registered import can_register

    site = script.site(value)
    remedy = WrapExpression(site, f"{namespace}.{container}(", ")") if can_register(script, name, value) else None
    return Problem(
        site,
        f"`{name}` holds `{layer}` in a plain Python container: the module does not know of it, so it is not trained, "
        "not saved, not moved, and `eval()` does not reach it",
        help=f"Use `{namespace}.{container}`",
        remedy=remedy,
        safety=Safety.UNSAFE if remedy else Safety.DISPLAY,
    )


def _layer_in(
    script: Script, methods: list[Scope], scope: Scope, name: str, value: ast.expr | None, registered: set[str]
) -> str:
    """A layer with state that the container holds: written in it, or put into it in any method."""
    if isinstance(value, ast.Name) and value.id not in registered:
        local = scope.value(value.id)
        return _layer_in(script, [scope], scope, value.id, local, registered) if _is_plain(local) else ""
    if value is None or not _is_plain(value):
        return ""
    elements, more = list(_elements(value)), [one for method in methods for one in _put_into(name, method)]
    # One object hidden in a list of its own is a known way to keep it out of the state dict.
    hidden = isinstance(value, ast.List) and len(elements) == 1 and not more
    if hidden and layer_kind(script, elements[0]) not in norms.NORMS:
        return ""
    elements += more
    return next((layer for one in elements if (layer := _layer(script, one))), "")


def _put_into(name: str, method: Scope) -> Iterator[ast.expr]:
    """What a method puts into a container: `append`, `insert`, `extend`, `update`, `+=`, or under a key."""
    for call in method.calls:
        if isinstance(call.func, ast.Attribute) and dotted(call.func.value) == name:
            if call.func.attr in ("append", "insert", "setdefault"):
                yield from call.args[-1:]
            elif call.func.attr in ("extend", "update"):
                yield from (inner for one in call.args if _is_plain(one) for inner in _elements(one))
    for node in walk(method.node):
        if isinstance(node, ast.AugAssign) and dotted(node.target) == name:
            yield from _elements(node.value)
        elif isinstance(node, ast.Assign) and any(
            isinstance(one, ast.Subscript) and dotted(one.value) == name for one in node.targets
        ):
            yield node.value


def _elements(value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(value, (ast.List, ast.Tuple)):
        yield from value.elts
    elif isinstance(value, ast.Dict):
        yield from value.values
    elif isinstance(value, (ast.ListComp, ast.GeneratorExp)):
        yield value.elt
    elif isinstance(value, ast.DictComp):
        yield value.value
    elif isinstance(value, ast.Call):
        yield from (inner for one in value.args for inner in _elements(one))
        yield from (one.value for one in value.keywords)
    elif isinstance(value, ast.BinOp):
        yield from _elements(value.left)
        yield from _elements(value.right)


def _layer(script: Script, value: ast.expr) -> str:
    """The name of the layer with state that an expression builds; "" for anything else, also for a frozen network."""
    if not isinstance(value, ast.Call):
        return ""
    kind = layer_kind(script, value)
    if kind == "Sequential":
        return next((inner for one in value.args if (inner := _layer(script, one))), "")
    if kind:
        return kind if kind in STATEFUL else ""
    name = dotted(value.func)
    own = classes(script).get(name)
    return name if own is not None and is_torch_class(script, own) and contents(script, value).sensitive else ""


def _registered(methods: list[Scope]) -> set[str]:
    """Names that are handed to something that registers modules: `ModuleList(self.x)`, `Sequential(*layers)`."""
    found: set[str] = set()
    for call in (one for method in methods for one in method.calls):
        if dotted(call.func).rpartition(".")[2] in REGISTRARS or "super()" in ast.unparse(call.func):
            found |= {dotted(part) for one in (*call.args, *call.keywords) for part in walk(one)}
    return found | {name for method in methods for name in _taken_apart(method)}


def _taken_apart(method: Scope) -> Iterator[str]:
    """Containers whose parts are attributes too: `self.first = self.convs[0]`, `self.a, self.b = pair`."""
    for one in walk(method.node):
        if isinstance(one, ast.Assign) and any(dotted(part).startswith("self.") for part in _targets(one)):
            if isinstance(one.value, ast.Subscript):
                yield dotted(one.value.value)
            elif isinstance(one.targets[0], ast.Tuple):
                yield dotted(one.value)


def _targets(assign: ast.Assign) -> Iterator[ast.expr]:
    for target in assign.targets:
        yield from target.elts if isinstance(target, ast.Tuple | ast.List) else [target]


def _registers_itself(methods: list[Scope]) -> bool:
    """Does the class register modules one by one, under names that are made at run time."""
    return any(
        dotted(call.func).rpartition(".")[2] in ("add_module", "register_module", "setattr", "__setattr__")
        for method in methods
        for call in method.calls
    )
