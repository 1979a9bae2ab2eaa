"""NF502 ragged-last-batch: the last training batch is smaller than the others, and batch norm learns from it too."""

import ast
from collections.abc import Iterator

from normfix.checks._feeding import FEEDING, trained_network
from normfix.checks._loaders import Loader, batch_size, integer, loaders
from normfix.engine import SOURCE, Facts, Rule, on_script
from normfix.findings import Problem, Safety, SetArgument, Severity
from normfix.script import Script, walk
from normfix.usage.networks import network_of
from normfix.usage.steps import Scope, dotted, scope_of

RULE = Rule("NF502", "ragged-last-batch", Severity.ERROR, readers=SOURCE, settings=("sure", "broad"))
MAKERS = frozenset(f"torch.{name}" for name in "zeros ones rand randn empty full randint arange".split())


@on_script(RULE, words=FEEDING)
def ragged_last_batch(script: Script, facts: Facts) -> Iterator[Problem]:
    """A training loader whose last batch holds one sample; with `broad` any that may be smaller than the others."""
    if "DataLoader" not in script.text:
        return
    broad = facts.options.get("ragged-last-batch") == "broad"
    for loader in loaders(script):
        found = _last(script, loader)
        size = found[1] % found[0] if found else 0
        if not (size == 1 or (broad and found is None and loader.given("shuffle"))):
            continue
        if loader.given("drop_last") or not loader.complete:
            continue
        network = trained_network(script, loader)
        if network:
            yield _problem(script, loader, network, found)


def _problem(script: Script, loader: Loader, network: str, found: tuple[int, int] | None) -> Problem:
    site = script.site(loader.call)
    name = loader.name or "the loader"
    last = f"the last of its batches holds 1 of {found[1]} samples" if found else "the last of its batches may be small"
    return Problem(
        site,
        f"`{name}` feeds the batch norms of `{network}`, and {last}: "
        + (
            "norms with one value per channel raise, the others take it for statistics"
            if found
            else "it weighs as much"
        ),
        help="Pass `drop_last=True` to the training loader",
        severity=Severity.ERROR if found else Severity.INFO,
        remedy=SetArgument(site, "drop_last", "True"),
        safety=Safety.UNSAFE,
    )


def _last(script: Script, loader: Loader) -> tuple[int, int] | None:
    """Batch size and number of samples, where both are literal."""
    size = batch_size(script, loader)
    dataset = loader.arguments.get("dataset")
    count = _length(script, loader.call, dataset, 4) if dataset is not None and size is not None else None
    return (size[0], count) if size is not None and count is not None and size[0] > 1 else None


def _split(script: Script, scope: Scope, name: str) -> ast.expr | None:
    """The length that `train, val = random_split(data, [800, 200])` gives to this name."""
    found: list[ast.expr] = []
    for home in (scope.node, script.tree):
        for node in (one for one in walk(home) if isinstance(one, ast.Assign) and isinstance(one.value, ast.Call)):
            target, call = node.targets[0], node.value
            lengths = call.args[1] if isinstance(call, ast.Call) and len(call.args) > 1 else None
            if not isinstance(target, ast.Tuple) or not isinstance(lengths, (ast.List, ast.Tuple)):
                continue
            names = [dotted(one) for one in target.elts]
            if name in names and script.resolve(call.func).endswith("random_split"):  # type: ignore[attr-defined]
                found += [lengths.elts[names.index(name)]] if len(lengths.elts) == len(names) else []
        if found:
            break
    return found[0] if len(found) == 1 else None


def _length(script: Script, node: ast.AST, value: ast.expr, depth: int) -> int | None:
    """The number of samples of a data set that is made here of literal size."""
    scope = scope_of(script, node)
    if isinstance(value, ast.Name) and depth and (part := _split(script, scope, value.id)) is not None:
        return integer(script, scope, part)
    if isinstance(value, ast.Name) and depth:
        known = network_of(script, node, value.id)
        return _length(script, node, known, depth - 1) if known is not None else None
    if not isinstance(value, ast.Call) or not depth:
        return None
    name = script.resolve(value.func)
    last = name.rpartition(".")[2]
    if name in MAKERS and value.args:
        first = value.args[1] if last == "randint" and len(value.args) > 1 else value.args[0]
        first = value.args[2] if last == "randint" and len(value.args) > 2 else first
        shape = first.elts[0] if isinstance(first, ast.Tuple | ast.List) and first.elts else first
        return integer(script, scope, shape)
    if last in ("TensorDataset", "list") and value.args:
        return _length(script, node, value.args[0], depth - 1)
    if last == "Subset" and len(value.args) == 2:
        return _length(script, node, value.args[1], depth - 1)
    if dotted(value.func) == "range" and len(value.args) == 1:
        return integer(script, scope, value.args[0])
    size = next((one.value for one in value.keywords if one.arg == "size"), value.args[0] if value.args else None)
    return integer(script, scope, size) if last == "FakeData" else None
