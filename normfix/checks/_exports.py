"""Traces and exports in source: which call writes which model, and whether that model is known to be fresh."""

import ast
from collections.abc import Iterator

from normfix.checks._spelled import called
from normfix.graph import Undecided
from normfix.records import dataclass
from normfix.script import Script, walk
from normfix.usage.calling import callee
from normfix.usage.flow import aliases
from normfix.usage.lines import calls_with
from normfix.usage.networks import Contents, contents
from normfix.usage.steps import WRAPPERS, Scope, calls_of, dotted, scope_of, scopes, subject, switch, unwrapped
from normfix.usage.zoo import is_library_network

EXPORTERS = {
    "torch.onnx.export": "model",
    "torch.onnx.utils.export": "model",
    "torch.onnx.dynamo_export": "model",
    "torch.jit.trace": "func",
    "torch.jit.trace_module": "mod",
    "torch.export.export": "mod",
}
"""Calls that write down what a model does in the mode that it is in, and the name of their first parameter."""
EXPORTING = (
    "torch",
    "onnx|jit|torch.export|import export",
    called(*{name.rpartition(".")[2]: None for name in EXPORTERS}),
)
"""What stands in every file that holds one."""


@dataclass(eq=False, slots=True)
class Export:
    """One trace or export of a model."""

    call: ast.Call
    scope: Scope
    model: ast.expr
    name: str
    """The name of the model; "" where the call builds it in place."""


def exports(script: Script) -> Iterator[Export]:
    """Every trace and export of the file."""
    for call in calls_of(script, *{name.rpartition(".")[2] for name in EXPORTERS}):
        function = script.resolve(call.func)
        if function in EXPORTERS:
            keywords = {one.arg: one.value for one in call.keywords}
            model = call.args[0] if call.args else keywords.get(EXPORTERS[function])
            if model is not None and not isinstance(model, ast.Starred):
                yield Export(call, scope_of(script, call), model, subject(model))


def own_mode(value: ast.expr) -> bool | None:
    """The last mode that a chain of calls switches to: False for `Net().eval().cuda()`; None without a switch."""
    while isinstance(value, ast.Call):
        change = switch(value)
        if change is not None:
            return change.training
        if value.args and dotted(value.func).rpartition(".")[2] in WRAPPERS:
            value = value.args[0]
        elif isinstance(value.func, ast.Attribute):
            value = value.func.value
        else:
            break
    return None


def construction(script: Script, scope: Scope, name: str) -> ast.expr | None:
    """The one expression that builds the model of this name in this scope; None where there are others, or none."""
    faces = aliases(scope, name)
    values = [value for face in faces for value in scope.bound.get(face, ())]
    if any(dotted(unwrapped(value)) in faces - scope.bound.keys() for value in values if value is not None):
        return None
    built = [value for value in values if value is None or not (faces & _names_in(value))]
    return built[0] if len(built) == 1 else None


def keeper(script: Script, scope: Scope, name: str) -> Scope:
    """The scope that builds a model: the given one, or for `self.net` the one method of the class that sets it.

    Raises `Undecided` where code that is not seen, or another method, may change its mode.
    """
    owner = script.class_of(scope.node)
    if not name.startswith("self.") or owner is None:
        return scope
    methods = [one for node, one in scopes(script).items() if script.class_of(node) is owner]
    homes = [one for one in methods if name in one.bound]
    if len(homes) != 1 or any(script.resolve(one) != "object" for one in owner.bases):
        raise Undecided(f"who sets the mode of `{name}` is not known")
    named_once = script.text.count(owner.name) == 1
    if named_once or not any(dotted(call.func) == owner.name for call in calls_with(script, owner.name)):
        raise Undecided(f"`{owner.name}` is used by files that are not seen")
    last = name.rpartition(".")[2]
    changes = [change for call in calls_with(script, "eval", "train") if (change := switch(call)) is not None]
    if any(change.subject.rpartition(".")[2] in ("", last) for change in changes):
        raise Undecided(f"the mode of `{name}` is switched elsewhere in this file")
    return homes[0]


def _names_in(value: ast.expr) -> set[str]:
    return {dotted(node) for node in walk(value) if isinstance(node, ast.Name | ast.Attribute)}


def fresh(script: Script, value: ast.expr, loaded: bool) -> Contents | None:
    """What is in a network that this expression builds, in training mode; None for a mode that is not known.

    An imported class whose code is not at hand counts as a network only when weights are loaded into it.
    """
    core = unwrapped(value)
    if own_mode(value) is not None or not isinstance(core, ast.Call):
        return None
    name = script.resolve(core.func)
    loaded_whole = name in ("torch.load", "torch.jit.load", "torch.hub.load") and not is_library_network(name, core)
    if loaded_whole or _switches_itself(script, core):
        raise Undecided(f"the mode of what `{name}` returns is not known")
    known = contents(script, core)
    if known.switches:
        raise Undecided(f"the mode of what `{name}` returns is not known")
    if known.sensitive is not None:
        return known if known.sensitive else None
    last = name.rpartition(".")[2]
    imported = dotted(core.func).partition(".")[0] in script.imports and not name.startswith("torch.nn.")
    return known if loaded and imported and last[:1].isupper() and not last.isupper() else None


def _switches_itself(script: Script, core: ast.Call) -> bool:
    """Does the class or function that is called here switch modes itself, as far as this file shows."""
    function = callee(script, core)
    owners = [one for one in script.of_type(ast.ClassDef) if one.name == dotted(core.func)]
    held = [function] if function is not None else [one for owner in owners for one in owner.body]
    return any(switch(call) for one in held if one in scopes(script) for call in scopes(script)[one].calls)


def loads_weights(scope: Scope, name: str) -> bool:
    """Is a state dict loaded into this model here."""
    faces = aliases(scope, name)
    return any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr == "load_state_dict"
        and (subject(call.func.value) in faces)
        for call in scope.calls
    )


def is_pretrained(value: ast.expr) -> bool:
    """Does the construction of a network bring weights: `pretrained=True`, `weights="DEFAULT"`, `resnet18(True)`."""
    core = unwrapped(value)
    given = {one.arg: one.value for one in core.keywords} if isinstance(core, ast.Call) else {}
    first = core.args[0] if isinstance(core, ast.Call) and core.args else None
    return (isinstance(first, ast.Constant) and first.value is True) or any(
        name in given and not (isinstance(given[name], ast.Constant) and not getattr(given[name], "value", None))
        for name in ("pretrained", "weights")
    )
