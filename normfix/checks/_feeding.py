"""Which network a DataLoader feeds: loops over it, followed through names, parameters and returned values."""

import ast
from collections.abc import Iterator
from functools import lru_cache

from normfix.checks._loaders import CONSTRUCTORS, Loader, named_for_evaluation, named_for_training, trains
from normfix.script import Script, walk
from normfix.usage.flow import Event, aliases, callee, callers, effects, events, is_loop_variable, passed, reach
from normfix.usage.networks import batch_normed_networks, classes, contents, defined, is_torch_class, layer_kind
from normfix.usage.steps import Loop, Scope, dotted, loops, scope_of, scopes, switch, unwrapped

COUNTS = frozenset({"len", "range"})
"""Calls that ask how long a loader is, and read nothing from it."""


def trained_network(script: Script, loader: Loader) -> str:
    """How the file names a network with batch norm that it trains on this loader; "" where none is seen to be.

    A loader that nothing in the file reads goes by its name: training code elsewhere, a trainer, reads it.
    """
    for name, value, _ in trained_networks(script, loader):
        return dotted(getattr(unwrapped(value), "func", None)).rpartition(".")[2] or name
    return ""


def trained_networks(script: Script, loader: Loader) -> Iterator[tuple[str, ast.expr, Scope]]:
    """The networks with batch norm that the file trains on this loader: name, value and scope of each."""
    if named_for_evaluation(loader) or not trains(script):
        return
    networks = list(_trainable(script))
    read = [loop for loop, given in _readers(script).items() if loader.call in given] if networks else []
    managed = not read and named_for_training(loader) and not _has_rival(script, scope_of(script, loader.call))
    for name, value, scope in networks:
        places = [(here, alias, loop) for here, alias in reach(script, scope, name) for loop in read]
        if managed or any(_trains_in(script, *place) for place in places):
            yield name, value, scope


def network_trained_in(script: Script, loop: Loop) -> str:
    """The name of a network with batch norm that a loop trains; "" where none is seen to be."""
    for name, _, scope in _trainable(script):
        if any(_trains_in(script, here, alias, loop) for here, alias in reach(script, scope, name)):
            return name
    return ""


def loaders_read_by(script: Script, loop: Loop) -> set[ast.Call]:
    """The loaders that a loop may read, followed through names, parameters and returned values."""
    return _readers(script).get(loop, set())


def _trainable(script: Script) -> Iterator[tuple[str, ast.expr, Scope]]:
    """The networks whose batch norms nothing in the file holds in eval mode."""
    for name, value, scope in batch_normed_networks(script):
        modes = effects(script, scope, name)
        frozen = contents(script, value).frozen or (modes.evals and not modes.trains)
        if not frozen and not _freezes(script, scope, name):
            yield name, value, scope


@lru_cache(maxsize=8)
def _readers(script: Script) -> dict[Loop | ast.comprehension, set[ast.Call]]:
    """Everything that may read a loader to its end, and the loaders that it reads."""
    plain: list[Loop | ast.comprehension] = [*script.of_type(ast.For), *script.of_type(ast.While)]
    plain += [*script.of_type(ast.AsyncFor), *script.of_type(ast.comprehension)]
    return {loop: _read(script, loop) for loop in plain}


def _read(script: Script, loop: Loop | ast.comprehension) -> set[ast.Call]:
    """The loaders that a loop reads: those it runs over, and those it takes the `next()` batch of."""
    read = [] if isinstance(loop, ast.While) else [loop.iter]
    if not isinstance(loop, ast.comprehension):
        read += [one for one in _next_calls(loop) if loops(script, one)[:1] == [loop]]
    return {found for one in read for found in _sources(script, scope_of(script, one), one, None, set())}


def _next_calls(loop: ast.AST) -> list[ast.Call]:
    return [node for node in walk(loop) if isinstance(node, ast.Call) and dotted(node.func) == "next"]


def _trains_in(script: Script, scope: Scope, name: str, loop: Loop | ast.comprehension) -> bool:
    """Does a loop of this scope run the module in train mode, and a backward pass.

    Where one phase of several switches to eval, another one trains.
    """
    if isinstance(loop, ast.comprehension) or scope_of(script, loop) is not scope:
        return False
    inside = events(script, scope, name, loop)
    own = (one for one in inside if one.kind == "forward" and not _is_deeper(script, one, loop))
    forward = next(own, None)
    if forward is None or not any(one.kind == "backward" for one in inside):
        return False
    before = events(script, scope, name)
    before = before[: [one.call for one in before].index(forward.call)]
    switched = [one for one in before if one.kind in ("eval", "train")]
    if not switched or switched[-1].kind == "train":
        return True
    arms = set(script.ancestors(switched[-1].call, ast.If)) - set(script.ancestors(forward.call, ast.If))
    return bool(arms) and any(one.kind == "train" for one in switched)


def _is_deeper(script: Script, event: Event, loop: Loop) -> bool:
    """Is this under a loop inside the given one that may read batches of its own; one that counts steps does not."""
    around = loops(script, event.call)
    inner = around[: around.index(loop)] if loop in around else around
    return any(
        _next_calls(one)
        or isinstance(one, ast.While)
        or not (isinstance(one.iter, ast.Call) and dotted(one.iter.func) == "range")
        for one in inner
    )


def _freezes(script: Script, scope: Scope, name: str) -> bool:
    """Are parts of this module put in eval, one by one or by `apply`."""
    for call in effects(script, scope, name).evals:
        change = switch(call)
        part = change is not None and (is_loop_variable(script, change) or "." in change.subject.removeprefix("self."))
        if part or change is None or not change.subject:
            return True
    return any(_applies_eval(script, here, alias) for here, alias in reach(script, scope, name))


def _applies_eval(script: Script, scope: Scope, name: str) -> bool:
    """Is a function of the file that calls `eval` handed to `name.apply`."""
    for call in scope.calls:
        function = call.func
        if (
            isinstance(function, ast.Attribute)
            and function.attr == "apply"
            and dotted(function.value) in aliases(scope, name)
        ):
            ran = [callee(script, ast.Call(one, [], [])) for one in call.args if isinstance(one, ast.Name)]
            if any(switch(inner) for one in ran if one is not None for inner in scopes(script)[one].calls):
                return True
    return False


def _has_rival(script: Script, scope: Scope) -> bool:
    """Does a scope build a network of this file without batch norm, which may be the one that is fed."""
    built = [unwrapped(one) for values in scope.bound.values() for one in values if one is not None]
    own = [classes(script).get(dotted(one.func)) for one in built if isinstance(one, ast.Call)]
    return any(
        one is not None
        and is_torch_class(script, one)
        and not defined(script, one.name).batch_norm
        and any(layer_kind(script, node) for node in walk(one))
        for one in own
    )


def _sources(script: Script, scope: Scope, node: ast.AST, key: str | None, seen: set[object]) -> Iterator[ast.Call]:
    """The loaders that an expression may stand for; with a key, the entry of that name in a dict.

    Each name and each function is looked at once: `seen` holds those that were.
    """
    meanings: Iterator[tuple[ast.expr, Scope]] = iter(())
    if isinstance(node, ast.Call) and script.resolve(node.func) in CONSTRUCTORS:
        yield node
    elif isinstance(node, ast.Subscript):
        entry = getattr(node.slice, "value", None)
        yield from _sources(script, scope, node.value, entry if isinstance(entry, str) else None, seen)
    elif isinstance(node, ast.Name | ast.Attribute):
        meanings = _values(script, scope, dotted(node)) if _is_new((scope.node, dotted(node), key), seen) else meanings
    elif isinstance(node, ast.Call) and (function := callee(script, node)) is not None:
        meanings = _returned(script, node) if _is_new((function, key), seen) else meanings
    elif not (isinstance(node, ast.Call) and dotted(node.func) in COUNTS):
        for child in _parts(node, key):
            yield from _sources(script, scope, child, key, seen)
    for value, where in meanings:
        yield from _sources(script, where, value, key, seen)


def _is_new(one: object, seen: set[object]) -> bool:
    new = one not in seen
    seen.add(one)
    return new


def _parts(node: ast.AST, key: str | None) -> Iterator[ast.AST]:
    if isinstance(node, ast.Call):
        yield from [node.func.value] if isinstance(node.func, ast.Attribute) else []
        yield from (*node.args, *(one.value for one in node.keywords if key is None or one.arg in (key, None)))
    elif isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        yield from (value for name, value in pairs if key is None or getattr(name, "value", key) == key)
    else:
        yield from ast.iter_child_nodes(node)


def _values(script: Script, scope: Scope, name: str) -> Iterator[tuple[ast.expr, Scope]]:
    """What a name may stand for, and the scope that this is written in."""
    table = scopes(script)
    if name in scope.parameters():
        for call in callers(script, scope.node):
            given = passed(call, scope).get(name)
            if given is not None:
                yield given, scope_of(script, call)
    homes = [scope] if name in scope.bound or name in scope.parameters() else [table[script.tree]]
    if name.startswith("self."):
        owner = script.class_of(scope.node)
        homes = [one for one in table.values() if name in one.bound and script.class_of(one.node) is owner]
    for home in homes:
        yield from ((value, home) for value in home.bound.get(name, ()) if value is not None)
        if None in home.bound.get(name, ()):
            yield from _unpacked(script, home, name)


def _unpacked(script: Script, scope: Scope, name: str) -> Iterator[tuple[ast.expr, Scope]]:
    """The part of `a, b = build()` or `a, b = accelerator.prepare(x, y)` that a name is given."""
    for assign in script.of_type(ast.Assign):
        target = assign.targets[0]
        if not isinstance(target, ast.Tuple) or not isinstance(assign.value, ast.Call):
            continue
        names = [dotted(one) for one in target.elts]
        if name not in names or scope_of(script, assign) is not scope:
            continue
        index = names.index(name)
        if dotted(assign.value.func).endswith(".prepare") and index < len(assign.value.args):
            yield assign.value.args[index], scope
        for value, where in _returned(script, assign.value):
            if isinstance(value, ast.Tuple) and index < len(value.elts):
                yield value.elts[index], where


def _returned(script: Script, call: ast.Call) -> Iterator[tuple[ast.expr, Scope]]:
    function = callee(script, call)
    if function is not None:
        for node in script.of_type(ast.Return):
            if node.value is not None and scope_of(script, node).node is function:
                yield node.value, scopes(script)[function]
