"""NF802 norm-in-plain-list: layers kept in a Python list or dict, which the module does not know of."""

import ast
from collections.abc import Collection, Iterator
from functools import lru_cache

from normfix import norms
from normfix.checks._contained import STATEFUL, may_contain_layers
from normfix.checks._spelled import may_define_module
from normfix.engine import SOURCE, Facts, Rule, on_node
from normfix.findings import Problem, Safety, Severity, WrapExpression
from normfix.script import FUNCTIONS, Script, walk
from normfix.usage.modules import classes, is_torch_class, is_torch_class_anywhere, layer_kind
from normfix.usage.networks import contents
from normfix.usage.steps import Scope, dotted, scopes

RULE = Rule("NF802", "norm-in-plain-list", Severity.ERROR, readers=SOURCE)
REGISTRARS = frozenset(
    "ModuleList ModuleDict Sequential add_module register_module setattr __setattr__ extend update".split()
)
_DISPLAYS = (ast.List, ast.Dict, ast.ListComp, ast.DictComp)
_CONTAINERS = frozenset({*_DISPLAYS, ast.Call, ast.BinOp})
"""What may build a container."""
_JOINS = (ast.Add, ast.Mult, ast.BitOr)
"""What makes one container of two, or of one several times."""
_ADDING = ("append", "insert", "setdefault")
_JOINING = ("extend", "update")
_BUILDERS = ("dict", "list", "OrderedDict")
"""Functions that build a plain container."""


@on_node(RULE, ast.ClassDef, words=(may_define_module, may_contain_layers))
def norm_in_plain_list(node: ast.ClassDef, facts: Facts) -> Iterator[Problem]:
    """A list or dict of layers that is stored on a module, and registered nowhere in its class."""
    script = facts.script
    if script is None or not node.bases or _storing(script).isdisjoint(node.body):
        return
    methods = [scopes(script)[one] for one in node.body if isinstance(one, FUNCTIONS)]
    storing = [scope for scope in methods if scope.node in _storing(script)]
    stored = [(scope, name, value) for scope in storing for name, value in _stored(scope)]
    if not any(_layer_in(script, methods, *one) for one in stored) or _registers_itself(methods):
        return
    if not is_torch_class_anywhere(script, node):
        return
    registered = _registered(script, methods)
    for scope, name, value in stored:
        layer = _layer_in(script, methods, scope, name, value, registered) if name not in registered else ""
        if layer:
            yield _problem(script, name, layer, value)


@lru_cache(maxsize=1)
def _storing(script: Script) -> frozenset[ast.AST]:
    """The functions of a file that put a container on `self`, or a name that may stand for one."""
    plain: list[ast.Assign | ast.AnnAssign] = []
    named: list[ast.Assign | ast.AnnAssign] = []
    statements: list[ast.Assign | ast.AnnAssign] = [*script.of_type(ast.Assign), *script.of_type(ast.AnnAssign)]
    for one in statements:
        kind = type(one.value)
        if kind is ast.Name:
            named.append(one)
        elif kind is ast.Tuple or (kind in _CONTAINERS and _is_plain(one.value)):
            plain.append(one)
    if ":=" not in script.text:
        targets = (target for one in plain for target in _targets(one))
        containers = {part.id for target in targets for part in walk(target) if isinstance(part, ast.Name)}
        named = [one for one in named if one.value.id in containers]  # type: ignore[union-attr]  # these are names
    stored = (one for one in (*plain, *named) if any(dotted(target).startswith("self.") for target in _targets(one)))
    return frozenset(function for one in stored for function in script.ancestors(one, FUNCTIONS))


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
        last = getattr(value.func, "attr", None) or getattr(value.func, "id", None)
        return last in _BUILDERS and dotted(value.func) != ""
    return isinstance(value, _DISPLAYS) or (isinstance(value, ast.BinOp) and isinstance(value.op, _JOINS))


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
    script: Script,
    methods: list[Scope],
    scope: Scope,
    name: str,
    value: ast.expr | None,
    registered: Collection[str] = (),
) -> str:
    """A layer with state that the container holds: written in it, or put into it in any method."""
    if isinstance(value, ast.Name) and value.id not in registered:
        local = scope.value(value.id)
        return _layer_in(script, [scope], scope, value.id, local, registered) if _is_plain(local) else ""
    if value is None or not _is_plain(value):
        return ""
    elements, more = list(_elements(value)), [one for method in methods for one in _put_into(script, name, method)]
    # One object hidden in a list of its own is a known way to keep it out of the state dict.
    hidden = isinstance(value, ast.List) and len(elements) == 1 and not more
    if hidden and layer_kind(script, elements[0]) not in norms.NORMS:
        return ""
    elements += more
    return next((layer for one in elements if (layer := _layer(script, one))), "")


def _put_into(script: Script, name: str, method: Scope) -> Iterator[ast.expr]:
    """What a method puts into a container: `append`, `insert`, `extend`, `update`, `+=`, or under a key."""
    text = script.text_of(method.node)
    for call in method.calls if any(one in text for one in (*_ADDING, *_JOINING)) else ():
        if isinstance(call.func, ast.Attribute) and dotted(call.func.value) == name:
            if call.func.attr in _ADDING:
                yield from call.args[-1:]
            elif call.func.attr in _JOINING:
                yield from (inner for one in call.args if _is_plain(one) for inner in _elements(one))
    for more in script.within(ast.AugAssign, method.node):
        if dotted(more.target) == name:
            yield from _elements(more.value)
    for node in script.within(ast.Assign, method.node):
        if any(isinstance(one, ast.Subscript) and dotted(one.value) == name for one in node.targets):
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


def _registered(script: Script, methods: list[Scope]) -> set[str]:
    """Names that are handed to something that registers modules: `ModuleList(self.x)`, `Sequential(*layers)`."""
    found: set[str] = set()
    for call in (one for method in methods for one in method.calls):
        if dotted(call.func).rpartition(".")[2] in REGISTRARS or "super()" in ast.unparse(call.func):
            found |= {dotted(part) for one in (*call.args, *call.keywords) for part in walk(one)}
    return found | {name for method in methods for name in _taken_apart(script, method)}


def _taken_apart(script: Script, method: Scope) -> Iterator[str]:
    """Containers whose parts are attributes too: `self.first = self.convs[0]`, `self.a, self.b = pair`."""
    for one in script.within(ast.Assign, method.node):
        if any(dotted(part).startswith("self.") for part in _targets(one)):
            if isinstance(one.value, ast.Subscript):
                yield dotted(one.value.value)
            elif isinstance(one.targets[0], ast.Tuple):
                yield dotted(one.value)


def _targets(statement: ast.Assign | ast.AnnAssign) -> Iterator[ast.expr]:
    for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
        yield from target.elts if isinstance(target, ast.Tuple | ast.List) else [target]


def _registers_itself(methods: list[Scope]) -> bool:
    """Does the class register modules one by one, under names that are made at run time."""
    return any(
        dotted(call.func).rpartition(".")[2] in ("add_module", "register_module", "setattr", "__setattr__")
        for method in methods
        for call in method.calls
    )
