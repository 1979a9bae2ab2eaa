"""Call expressions: what is called, with what."""

from __future__ import annotations

import ast

from normfix.graph import Call, Layer, Unknown
from normfix.readers.interpreter import (
    builtin,
    construction,
    containers,
    derived,
    displays,
    expressions,
    functions,
    library,
    methods,
    modules,
    operations,
)
from normfix.readers.interpreter.arguments import Arguments, Passed
from normfix.readers.interpreter.joining import tensors
from normfix.readers.interpreter.kinds import REPARAMETRIZATIONS, TRANSPARENT, constructed, operation
from normfix.readers.interpreter.run import Run
from normfix.readers.interpreter.values import (
    MODULES,
    Bound,
    Choice,
    Class,
    Dotted,
    Function,
    Method,
    Partial,
    Scope,
    Submodule,
    Super,
    Table,
    Value,
)

NOTHING = Arguments([], {})
_CHECKPOINTS = frozenset({"torch.utils.checkpoint.checkpoint", "torch.utils.checkpoint"})


def call(run: Run, node: ast.Call, scope: Scope) -> Value:
    """What a call expression stands for."""
    if isinstance(node.func, ast.Name) and node.func.id == "super":
        return _super(run, node, scope)
    callee = expressions.evaluate(run, node.func, scope)
    return invoke(run, callee, passed(run, node, scope), node, scope)


def passed(run: Run, node: ast.Call, scope: Scope) -> Arguments:
    """The arguments of a call."""
    positional: list[Passed] = []
    keywords: dict[str, Passed] = {}
    incomplete: Unknown | None = None
    for argument in node.args:
        if not isinstance(argument, ast.Starred):
            value = expressions.evaluate(run, argument, scope)
            positional.append(Passed(value, argument, len(positional), scope))
            continue
        items = displays.iterated(run, expressions.evaluate(run, argument.value, scope), argument, scope)
        plain = items.plain()
        if plain is not None:
            positional += [Passed(one, argument, len(positional) + place, scope) for place, one in enumerate(plain)]
        else:
            positional.append(Passed(items, argument, None, scope))
            incomplete = incomplete or items.leaked
    for keyword in node.keywords:
        value = expressions.evaluate(run, keyword.value, scope)
        if keyword.arg is not None:
            keywords[keyword.arg] = Passed(value, keyword.value, None, scope)
        elif isinstance(value, Table):
            for name, one in value.content.items():
                if isinstance(name, str):
                    keywords[name] = Passed(one, keyword.value, None, scope)
            incomplete = incomplete or value.leaked
        else:
            run.escape(value, Unknown("it is spread into a call"))
            incomplete = incomplete or Unknown(f"`**{scope.script.source(keyword.value)}` is passed")
    return Arguments(positional, keywords, incomplete)


def invoke(run: Run, callee: Value, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """The result of calling a value."""
    if isinstance(callee, Method):
        return methods.invoke(run, callee, arguments, node, scope)
    if isinstance(callee, Dotted):
        return _invoke_dotted(run, callee.name, arguments, node, scope)
    if isinstance(callee, MODULES):
        return modules.invoke(run, callee, arguments, node, scope)
    if isinstance(callee, Bound):
        return _invoke_bound(run, callee, arguments, node, scope)
    if isinstance(callee, Function):
        return _invoke_function(run, callee, arguments, node, scope)
    if isinstance(callee, Class):
        start = len(run.graph.layers)
        made = functions.construct(run, callee, arguments, node, scope)
        run.disown(callee.node, start)
        derived.lend(run, made, arguments, node, scope)
        return made
    if isinstance(callee, Partial):
        return invoke(run, callee.callee, arguments.after(callee.arguments), node, scope)
    if isinstance(callee, Choice):
        return modules.invoke_choice(run, callee, arguments, node, scope)
    if isinstance(callee, Submodule):
        return modules.invoke_submodule(run, callee, arguments, node, scope)
    if isinstance(callee, Call):
        callee = Unknown("the result of a call is called")
    reason = callee.reason if isinstance(callee, Unknown) else "what is called is not a function that is followed"
    return modules.mystery(run, reason, arguments, node, scope)


def _invoke_function(run: Run, callee: Function, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    start = len(run.graph.layers)
    result = functions.run_function(run, callee, arguments, node)
    if callee.scope.parent is None and not _lends(run, callee, result, start, node, scope):
        run.disown(callee.home.node if callee.home is not None else callee.node, start)
    return _followed(run, result, arguments, node, scope)


def _lends(run: Run, helper: Function, result: Value, start: int, node: ast.AST, scope: Scope) -> bool:
    """Does a helper build one bare layer here: this one is the caller's own, whatever others do with theirs."""
    name = getattr(helper.node, "name", "")
    if not name or run.is_read(helper.node) or not isinstance(result, Layer) or run.graph.layers[start:] != [result]:
        return False
    result.site, result.helper = run.site(node, scope), name
    return True


def _invoke_bound(run: Run, callee: Bound, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    name = getattr(callee.function.node, "name", "")
    if name in ("forward", "__call__") and "forward" in callee.receiver.content:
        return modules.invoke(run, callee.receiver, arguments, node, scope)
    start = len(run.graph.layers)
    result = functions.run_function(run, callee.function, arguments, node, callee.receiver)
    if callee.function.home is not None:
        run.disown(callee.function.home.node, start)
    return _followed(run, result, arguments, node, scope)


def _followed(run: Run, result: Value, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """A function that was given tensors and returns something unknown may return one of them."""
    if isinstance(result, Unknown) and any(True for value in arguments.values() for _ in tensors(value)):
        return run.mystery(result.reason, modules.inputs(run, arguments), node, scope)
    return result


def _invoke_dotted(run: Run, name: str, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    if name.startswith("builtins."):
        return builtin.invoke(run, name[9:], arguments, node, scope)
    kind = constructed(name)
    if kind is not None:
        if kind in ("Sequential", "ModuleList", "ModuleDict"):
            return containers.build(run, kind, arguments, node, scope)
        return construction.layer(run, kind, name, arguments, node, scope)
    if name in TRANSPARENT or name in REPARAMETRIZATIONS:
        return construction.wrapped(run, name, arguments)
    if name in _CHECKPOINTS and arguments.positional:
        rest = Arguments(arguments.positional[1:], {})
        return invoke(run, arguments.positional[0].value, rest, node, scope)
    done = operation(name)
    if done is not None:
        return operations.apply(run, done, name, arguments, node, scope)
    known = library.invoke(run, name, arguments, node, scope)
    if known is not None:
        return known
    if name.startswith("torch.nn.") and name.rpartition(".")[2][:1].isupper() and "utils" not in name:
        return construction.unknown(run, f"normfix does not know `{name}`", name, arguments, node, scope)
    block = run.block_beside(scope.script, name) if run.building else None
    if block is not None:
        return _foreign(run, block, arguments, node, scope)
    return modules.mystery(run, f"`{name}` is not in this file", arguments, node, scope)


def _foreign(run: Run, block: Class | Function, arguments: Arguments, node: ast.AST, scope: Scope) -> Value:
    """Layers that another file constructs: what feeds them is known here, who else uses them is not."""
    beside, run.beside = run.beside, False
    before = len(run.graph.layers)
    result = invoke(run, block, arguments, node, scope)
    run.beside = beside
    for layer in run.graph.layers[before:]:
        run.escape(layer, Unknown("it is constructed in another file"))
    return result


def _super(run: Run, node: ast.Call, scope: Scope) -> Value:
    at: Scope | None = scope
    while at is not None and at.receiver is None:
        at = at.parent
    if at is None or at.receiver is None or at.function is None or at.function.home is None:
        return Unknown("`super` is called outside a method")
    return Super(at.function.home, at.receiver)
