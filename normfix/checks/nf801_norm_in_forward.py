"""NF801 norm-in-forward: a norm (or a dropout) that is made anew in every forward pass."""

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache

from normfix import norms, vocabulary
from normfix.checks._spelled import may_define_module, run_in
from normfix.engine import SOURCE, Facts, Rule, on_node
from normfix.findings import Problem, Safety, Severity
from normfix.graph import Undecided
from normfix.lazy import pattern
from normfix.script import FUNCTIONS, Function, Script, walk
from normfix.usage.lines import lines_where, lines_with, of_node
from normfix.usage.modules import argument, is_module_class_anywhere, layer_kind
from normfix.usage.steps import FLUENT, dotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

RULE = Rule("NF801", "norm-in-forward", Severity.ERROR, readers=SOURCE)
KINDS = (norms.NORMS - norms.LOCAL_RESPONSE) | vocabulary.DROPOUTS
PARTS = ("Norm", "Dropout")
"""A part of the name of each."""
WORDS = (pattern(r"Norm\w*"), pattern(r"Dropout\w*"))
BUILT = (pattern(r"Norm(?:[123]d)?\s*\("), pattern(r"Dropout(?:[123]d)?\s*\("))
RENAMED = (pattern(r"Norm(?:[123]d)?[ \t]+as\b"), pattern(r"Dropout(?:[123]d)?[ \t]+as\b"))
NAMED = (pattern(r"Norm(?:[123]d)?\b(?!\()"), pattern(r"Dropout(?:[123]d)?\b(?!\()"))
GIVEN = pattern(r"\n?\w+[ \t]*=[ \t]*[\w.]*\Z")
"""What stands before one that gets another name at the top level."""
REACH = 200
IN_LAMBDA = pattern(r"self\.\w+[ \t]*=[ \t]*lambda\b[^\n]*(?:Norm|Dropout)(?:[123]d)?\s*\(")
METHODS = ("forward", "__call__")
SWITCHES = ("affine", "elementwise_affine", "track_running_stats")


def _may_build(text: str) -> bool:
    """Is one built in the forward pass, or in a method or lambda that it calls, or under another name of its own."""
    built = [one.start() for kind in BUILT for one in kind.finditer(text) if _is_kind(_dotted(text, one))]
    named = any(one.search(text) for one in RENAMED) or _is_renamed(text)
    return (bool(built) and run_in(text, built, METHODS)) or named or (bool(built) and _in_lambda(text))


def _is_renamed(text: str) -> bool:
    for place in (one.start() for kind in NAMED for one in kind.finditer(text)):
        start = max(place - REACH, 0)
        if GIVEN.match(text[max(text.rfind("\n", start, place), start) : place]):
            return True
    return False


def _in_lambda(text: str) -> bool:
    return "lambda" in text and bool(IN_LAMBDA.search(text))


def _is_kind(name: str) -> bool:
    return name.rpartition(".")[2] in KINDS and not name.startswith("self.")


def _dotted(text: str, found: "re.Match[str]") -> str:
    """The whole name of what is called."""
    start = found.start()
    while start and (text[start - 1].isalnum() or text[start - 1] in "_."):
        start -= 1
    return text[start : found.end()].rstrip("( \t\r\n")


@on_node(RULE, ast.ClassDef, words=("|".join(PARTS), "|".join(METHODS), may_define_module, _may_build))
def norm_in_forward(node: ast.ClassDef, facts: Facts) -> Iterator[Problem | Undecided]:
    """Norm constructors in the forward pass of a module class, unless they are built once and kept."""
    script = facts.script
    if script is None:
        return
    found = list(_built_in_lambdas(script, node)) if _has_lambdas(script) else []
    lines = of_node(_lines(script), node)
    methods = [one for one in node.body if isinstance(one, FUNCTIONS) and one.name != "__init__"] if lines else []
    if any(of_node(lines, one) for one in methods):
        passes = _calls([one for one in methods if one.name in METHODS])
        found += [one for one in passes if layer_kind(script, one) in KINDS and _in_forward(script, one)]
        found += _built_in_helpers(script, node, passes)
    for call in found:
        try:
            yield from _judged(script, call, layer_kind(script, call))
        except Undecided as undecided:
            yield undecided


@lru_cache(maxsize=1)
def _lines(script: Script) -> Sequence[int]:
    """The lines that name one, or what else it is imported as; `self.LayerNorm` is built elsewhere."""
    renamed = [name for name, meaning in script.imports.items() if meaning.rpartition(".")[2] in KINDS - {name}]
    return sorted({*lines_where(script, _named), *(lines_with(script, *renamed) if renamed else ())})


def _named(text: str) -> Iterator[int]:
    return (one.start() for part in WORDS for one in part.finditer(text) if _is_kind(_dotted(text, one)))


@lru_cache(maxsize=1)
def _has_lambdas(script: Script) -> bool:
    return _in_lambda(script.text)


def _calls(methods: Sequence[Function]) -> list[ast.Call]:
    return [one for method in methods for part in method.body for one in walk(part) if isinstance(one, ast.Call)]


def _built_in_helpers(script: Script, owner: ast.ClassDef, passes: Sequence[ast.Call]) -> Iterator[ast.Call]:
    """Constructors in the methods that nothing but the forward pass calls, of what is called there at once."""
    named = {
        one.func.attr for one in passes if isinstance(one.func, ast.Attribute) and dotted(one.func.value) == "self"
    }
    for method in (one for one in owner.body if isinstance(one, FUNCTIONS) and one.name in named):
        built = [
            one for one in _calls([method]) if layer_kind(script, one) in KINDS and _is_called(script, method, one)
        ]
        mentions = [one for one in script.of_type(ast.Attribute) if one.attr == method.name] if built else []
        homes = {getattr(script.function_of(one), "name", "") for one in mentions if dotted(one.value) == "self"}
        alone = all(dotted(one.value) == "self" and script.class_of(one) is owner for one in mentions)
        if built and alone and homes <= set(METHODS) and is_module_class_anywhere(script, owner):
            yield from built


def _built_in_lambdas(script: Script, owner: ast.ClassDef) -> Iterator[ast.Call]:
    """Constructors in `self.norm = lambda x: nn.LayerNorm(width)(x)`, of what is called there at once."""
    methods = [one for one in owner.body if isinstance(one, FUNCTIONS) and _in_lambda(script.text_of(one))]
    for call in _calls(methods):
        around = script.enclosing(call, (ast.Lambda, ast.stmt))
        kept = script.parents[around] if isinstance(around, ast.Lambda) else None
        if isinstance(kept, ast.Assign) and dotted(kept.targets[0]).startswith("self."):
            parent = script.parents[call]
            called = isinstance(parent, ast.Call) and parent.func is call
            if called and layer_kind(script, call) in KINDS and is_module_class_anywhere(script, owner):
                yield call


def _is_called(script: Script, method: Function, node: ast.Call) -> bool:
    """Is what a constructor gives called on the spot, or under the name that it is given."""
    whole: ast.AST = node
    parent = script.parents[node]
    while isinstance(parent, ast.Attribute) and parent.attr in FLUENT:
        whole = script.parents[parent]
        parent = script.parents[whole]
    if isinstance(parent, ast.Call) and parent.func is whole:
        return True
    names = {dotted(one) for one in parent.targets} if isinstance(parent, ast.Assign) else set()
    local = {one for one in names if one and "." not in one}
    return any(dotted(one.func) in local for one in _calls([method]))


def _judged(script: Script, node: ast.Call, kind: str) -> Iterator[Problem]:
    if _is_kept(script, node):
        return
    dropout = kind in vocabulary.DROPOUTS
    if dropout and _follows_mode(script, node):
        return
    stateful = dropout or _has_state(node, kind)
    effect = (
        "it is always in training mode, and `eval()` never reaches it"
        if dropout
        else "its parameters and statistics are new each time, never trained and never saved"
        if stateful
        else "that costs time in every pass"
    )
    from normfix.remedies.moved import built_once

    in_lambda = isinstance(script.enclosing(node, (ast.Lambda, ast.stmt)), ast.Lambda)
    remedy = None if in_lambda else built_once(script, node)
    yield Problem(
        script.site(node),
        f"`{script.source(node.func)}` is built anew in every forward pass: {effect}",
        help="Build it once in `__init__`" + (", or call `F.dropout(x, p, self.training)`" if dropout else ""),
        severity=Severity.ERROR if stateful else Severity.INFO,
        remedy=remedy,
        safety=Safety.UNSAFE if remedy else Safety.DISPLAY,
    )


def _in_forward(script: Script, node: ast.Call) -> bool:
    """Is the innermost method around it the forward pass of a module."""
    for parent in script.ancestors(node, ast.stmt):
        if isinstance(parent, FUNCTIONS) and isinstance(script.parents[parent], ast.ClassDef):
            return parent.name in METHODS and is_module_class_anywhere(script, script.parents[parent])  # type: ignore[arg-type]  # just tested
    return False


def _is_kept(script: Script, node: ast.Call) -> bool:
    """Is it built under a condition and stored, or given its weights by hand, or compared with."""
    for parent in script.ancestors(node, ast.AST):
        if isinstance(parent, ast.Call) and dotted(parent.func) in ("isinstance", "setattr", "self.add_module"):
            return True
        if isinstance(parent, ast.Lambda):
            return False
        if isinstance(parent, ast.Assign):
            targets = [dotted(one) or dotted(getattr(one, "value", None)) for one in parent.targets]
            conditional = next(script.ancestors(parent, (ast.If, ast.Try)), None) is not None
            return any(_is_given_weights(script, parent, one) for one in targets) or (
                conditional and any(one.startswith("self") for one in targets)
            )
        if isinstance(parent, ast.stmt):
            return False
    return False


def _is_given_weights(script: Script, assign: ast.Assign, name: str) -> bool:
    """Are weights put into the new layer: a hypernetwork, or weights kept elsewhere."""
    function = script.function_of(assign)
    parts = (f"{name}.weight", f"{name}.bias", f"{name}.load_state_dict", f"{name}.running_mean")
    return function is not None and any(
        dotted(node).startswith(parts) for node in walk(function) if isinstance(node, ast.Attribute)
    )


def _follows_mode(script: Script, node: ast.Call) -> bool:
    """Does the code ask for the mode of the module itself: `if self.training`, `.train(self.training)`."""
    for parent in script.ancestors(node, ast.AST):
        if isinstance(parent, ast.stmt) and not isinstance(parent, ast.If | ast.For | ast.With):
            if "training" in ast.unparse(parent).split("def ")[0]:
                return True
            if isinstance(parent, FUNCTIONS):
                return False
        elif isinstance(parent, ast.If | ast.IfExp) and "training" in ast.unparse(parent.test):
            return True
    return False


def _has_state(node: ast.Call, kind: str) -> bool:
    """Has the norm parameters or running statistics. Raises `Undecided` where an argument decides at run time."""
    if kind in norms.BATCH:
        return True
    for name in SWITCHES:
        value = argument(node, kind, name)
        if value is None:
            if vocabulary.default(kind, name) is True:
                return True
        elif not isinstance(value, ast.Constant):
            raise Undecided(f"`{name}` of `{kind}` is decided at run time")
        elif value.value:
            return True
    return False
