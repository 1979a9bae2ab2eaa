"""NF506 parameters-only-copy: an averaged or copied model gets the parameters of another, but not its buffers."""

import ast
from collections.abc import Iterator

from normfix.checks._paired import WRITERS, models_of, written_of
from normfix.engine import SOURCE, Facts, Rule, on_node
from normfix.findings import InsertStatement, Problem, Safety, Severity
from normfix.graph import Undecided
from normfix.lazy import pattern
from normfix.script import Script
from normfix.usage.calling import callee, callers, passed
from normfix.usage.modules import BATCH_NORMS, classes
from normfix.usage.networks import batch_normed_networks, contents, network_of
from normfix.usage.steps import Scope, calls_of, dotted, scope_of, scopes, subject, unwrapped

RULE = Rule("NF506", "parameters-only-copy", Severity.WARNING, readers=SOURCE)
SELF_UPDATING = ("moco", "byol", "dino", "simsiam", "encoder_k", "param_k", "momentum_encoder", "fedbn")
"""Words of methods whose copies run in training mode and keep their own statistics, or keep them apart on purpose."""
TAKEN = pattern(r"parameters(?:(?<=[.\s\\]parameters)|(?<=[.\s\\]named_parameters))[\s\\]*\(")
PAIRS = pattern(r"in(?<!\win)\s+(?:(?:enumerate|list|tqdm)\s*\((?:\s|#[^\n]*\n)*)*zip\b")
NAMED = pattern(r"dict(?<!\wdict)\s*\(\s*[\w.]+\.named_parameters\b")
WRITES = pattern(rf"\.data\b|[-+*/@%&|^<>]=|\.(?:{'|'.join(sorted(WRITERS))})\b")


def _writes(text: str) -> bool:
    """Are two taken, and anything written in place. Most files that are parsed do, and the loops tell more."""
    return sum(1 for _ in TAKEN.finditer(text)) > 1 and WRITES.search(text) is not None


@on_node(RULE, ast.For, words=("zip|named_parameters", "parameters", TAKEN, (PAIRS, NAMED), _writes))
def parameters_only_copy(node: ast.For, facts: Facts) -> Iterator[Problem]:
    """A loop over the parameters of two models that writes those of one, in code that does not see to the buffers."""
    script = facts.script
    models = models_of(script, node) if script is not None else None
    if script is None or models is None:
        return
    written = written_of(node, models)
    if not written or _sees_to_buffers(script, node, models):
        return
    around = _around(script, node).lower()
    if any(word in around for word in SELF_UPDATING) or _runs_as_it_trains(script, written):
        raise Undecided("this copy may run in training mode, and so keep running statistics of its own")
    source = next(one for one in models if one != written) if len(set(models)) == 2 else models[0]
    if _has_batch_norm(script, node, models):
        copy = _copy(script, node, written)
        yield Problem(
            script.site(node),
            f"`{written}` takes over the parameters of `{source}` but not its buffers: its batch norms keep running "
            "statistics that do not belong to its weights",
            help=f"Copy the buffers too: `for a, b in zip({written}.buffers(), {source}.buffers()): a.copy_(b)`",
            remedy=InsertStatement(script.site(node), copy, after=True) if copy else None,
            safety=Safety.UNSAFE if copy else Safety.DISPLAY,
        )


def _around(script: Script, loop: ast.For) -> str:
    """The text of the class that a loop stands in; a function may be called from anywhere in the file."""
    owner = script.class_of(loop)
    return script.source(owner) if owner is not None and len(classes(script)) > 1 else script.text


def _runs_as_it_trains(script: Script, copy: str) -> bool:
    """Is the copy called in a file that puts nothing in eval mode: then its norms never read running statistics."""
    return ".eval(" not in script.text and any(dotted(one.func) == copy for one in script.of_type(ast.Call))


def _copy(script: Script, loop: ast.For, written: str) -> str:
    """A loop that copies the buffers as this one copies the parameters; "" where it cannot be written with its names.

    None for one of several such loops in different functions: the first copy of buffers would hide the others.
    """
    zipped, target = loop.iter, loop.target
    if not isinstance(zipped, ast.Call) or dotted(zipped.func) != "zip" or not isinstance(target, ast.Tuple):
        return ""
    models = [dotted(one.func.value) for one in zipped.args if _is_parameters(one)]  # type: ignore[attr-defined]
    names = [dotted(one) for one in target.elts]
    others = [one for one in script.of_type(ast.For) if scope_of(script, one) is not scope_of(script, loop)]
    hidden = {one.partition(".")[0] for one in models} & set(names)
    if len(models) != 2 or not all((*models, *names)) or hidden or any(models_of(script, one) for one in others):
        return ""
    first = subject(zipped.args[0].func.value) == written  # type: ignore[attr-defined]
    old, new = names if first else reversed(names)
    buffers = ", ".join(f"{model}.buffers()" for model in models)
    return f"for {', '.join(names)} in zip({buffers}):\n    {old}.copy_({new})"


def _is_parameters(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "parameters"


def _walks_over_buffers(script: Script, loop: ast.For, models: tuple[str, str]) -> bool:
    """Does the file walk over buffers, those of other networks in the same function aside."""
    scope = scope_of(script, loop)
    for call in calls_of(script, "buffers", "named_buffers"):
        other = subject(call.func.value) if isinstance(call.func, ast.Attribute) else ""
        if not other or other in models or scope_of(script, call) is not scope:
            return True
    return False


def _sees_to_buffers(script: Script, loop: ast.For, models: tuple[str, str]) -> bool:
    """Does the file walk over buffers, or the function at hand, or one that it calls, use state dicts."""
    if "buffers" in script.text and _walks_over_buffers(script, loop, models):
        return True
    scope = scope_of(script, loop)
    called = [scopes(script)[one] for call in scope.calls if (one := callee(script, call)) is not None]
    return scope.node is not script.tree and any(
        isinstance(call.func, ast.Attribute) and call.func.attr in ("state_dict", "load_state_dict")
        for one in (scope, *called)
        for call in one.calls
    )


def _has_batch_norm(script: Script, loop: ast.For, models: tuple[str, str]) -> bool:
    """Is there batch norm in the models. Raises `Undecided` where neither they nor the file tell."""
    networks = [one for name in models for one in _networks(script, loop, name)]
    known = [contents(script, one).batch_norm for one in networks]
    if any(one is not None for one in known):
        return any(known)
    if not networks and (any(True for _ in batch_normed_networks(script)) or _names_batch_norm(script)):
        return True
    raise Undecided(f"whether `{models[0]}` holds batch norm is not known")


def _networks(script: Script, loop: ast.For, name: str) -> Iterator[ast.expr]:
    """What builds the network of this name: where the loop stands, or where callers of its function get theirs."""
    scope = scope_of(script, loop)
    found = network_of(script, loop, name)
    if found is not None:
        yield from _originals(script, scope, found)
    for call in callers(script, scope.node) if name in scope.parameters() else ():
        given = passed(call, scope).get(name)
        if given is not None:
            yield from _originals(script, scope_of(script, call), given)


def _originals(script: Script, scope: Scope, value: ast.expr) -> Iterator[ast.expr]:
    """The expressions that build what a name, an attribute or a copy stands for."""
    todo, seen = [value], set[str]()
    while todo:
        core = unwrapped(todo.pop())
        if isinstance(core, ast.Call) and script.resolve(core.func) in ("copy.deepcopy", "copy.copy") and core.args:
            todo.append(core.args[0])
        elif isinstance(core, ast.Call):
            yield core
        elif (name := dotted(core)) and name not in seen:
            seen.add(name)
            owner = script.class_of(scope.node)
            around = [one for one in scopes(script).values() if script.class_of(one.node) is owner]
            around = around if name.startswith("self.") else [scope, scopes(script)[script.tree]]
            todo += [one for place in around for one in place.bound.get(name, ()) if one is not None]


def _names_batch_norm(script: Script) -> bool:
    calls = (script.resolve(call.func) for call in script.of_type(ast.Call))
    return any(name.startswith("torch.nn.") and name.rpartition(".")[2] in BATCH_NORMS for name in calls)
