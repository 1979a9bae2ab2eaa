"""Which network a DataLoader feeds: loops over it, followed through names, parameters and returned values."""

import ast
from collections.abc import Iterator
from functools import lru_cache

from normfix.checks._loader_sources import loaders_behind
from normfix.checks._loaders import Loader, named_for_evaluation, named_for_training, trains
from normfix.checks._spelled import called
from normfix.lazy import pattern
from normfix.script import Script, walk
from normfix.usage.calling import callee
from normfix.usage.flow import Event, aliases, effects, events, is_loop_variable, reach
from normfix.usage.modules import classes, is_torch_class, layer_kind
from normfix.usage.networks import batch_normed_networks, contents, defined
from normfix.usage.steps import Loop, Scope, dotted, loops, scope_of, scopes, switch, unwrapped

FEEDING = (
    "DataLoader",
    "utils",
    called("DataLoader"),
    pattern(r"backward|fit(?<!\wfit)\b|create_supervised_trainer|Trainer|training_step"),
)
"""What stands in every file that builds a loader and trains."""


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
    return {found for one in read for found in loaders_behind(script, one)}


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
