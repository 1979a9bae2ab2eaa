"""DataLoaders of a source file: which ones feed training, and with how many samples at a time."""

import ast
import re
from collections.abc import Iterator

from normfix.lazy import pattern
from normfix.records import dataclass
from normfix.script import Script, walk
from normfix.usage.calling import callers, defaults, passed
from normfix.usage.steps import Scope, calls_of, dotted, loops, scope_of, scopes

CONSTRUCTORS = frozenset({"torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader"})
PARAMETERS = "dataset batch_size shuffle sampler batch_sampler num_workers collate_fn pin_memory drop_last".split()
EVALUATION = pattern(
    r"(^|[^a-z])(test|tst|val|valid|validation|eval|evaluation|dev|infer|inference|pred|predict|query|gallery|calib"
    r"|calibration|export|demo|vis|viz|sample|holdout)([^a-z]|$)"
)
TRAINING = pattern(r"(^|[^a-z])(train|training|trn|trainloader|traindataloader)([^a-z]|$)")


@dataclass(eq=False, slots=True)
class Loader:
    """One `DataLoader(...)`: its arguments by name, and the name that it is bound to."""

    call: ast.Call
    name: str
    arguments: dict[str, ast.expr]
    complete: bool
    """Were all arguments seen (no `**options`)."""

    def given(self, name: str) -> bool:
        """Is this argument passed, and not as None or False."""
        value = self.arguments.get(name)
        return value is not None and not (isinstance(value, ast.Constant) and not value.value)


def loaders(script: Script) -> Iterator[Loader]:
    """Every DataLoader of torch that the file builds."""
    for call in script.of_type(ast.Call):
        if script.resolve(call.func) in CONSTRUCTORS:
            arguments = dict(zip(PARAMETERS, call.args, strict=False))
            for one in call.keywords:
                arguments |= _spread(script, call, one.value) if one.arg is None else {one.arg: one.value}
            complete = all(one.arg is not None for one in call.keywords) and not any(
                isinstance(one, ast.Starred) for one in call.args
            )
            yield Loader(call, _bound_name(script, call), arguments, complete)


def _spread(script: Script, call: ast.Call, options: ast.expr) -> dict[str, ast.expr]:
    """What is known of `**options`, which the function writes out once: the entries that nothing sets again."""
    scope = scope_of(script, call)
    value = scope.value(dotted(options)) if isinstance(options, ast.Name) else options
    found: dict[str, ast.expr] = {}
    if isinstance(value, ast.Dict):
        pairs = zip(value.keys, value.values, strict=True)
        found = {str(getattr(key, "value", "")): one for key, one in pairs if key is not None}
    elif isinstance(value, ast.Call) and dotted(value.func) == "dict":
        found = {one.arg: one.value for one in value.keywords if one.arg is not None}
    later = _set_later(script, scope, dotted(options)) if found and isinstance(options, ast.Name) else set()
    return {} if later is None else {name: one for name, one in found.items() if name not in later}


def _set_later(script: Script, scope: Scope, name: str) -> set[str] | None:
    """The entries of a dict that a scope sets by index or `update`; None where it is not clear which."""
    found: set[object] = set()
    for part in walk(scope.node):
        if isinstance(part, ast.Subscript) and isinstance(part.ctx, ast.Store) and dotted(part.value) == name:
            found.add(getattr(part.slice, "value", None))
        elif isinstance(part, ast.Call) and dotted(part.func) == f"{name}.update":
            values = [scope.value(dotted(one)) if dotted(one) else one for one in part.args]
            for one in values:
                found |= {getattr(key, "value", None) for key in one.keys} if isinstance(one, ast.Dict) else {None}
            found |= {one.arg for one in part.keywords}
    return None if None in found else {str(one) for one in found}


def named_for_training(loader: Loader) -> bool:
    """Do the names or the shuffling of a loader say that it feeds training."""
    return bool(TRAINING.search(_named_words(loader))) or loader.given("shuffle") or loader.given("sampler")


def named_for_evaluation(loader: Loader) -> bool:
    """Do the names of a loader, or of its data, say that it feeds anything but training."""
    return EVALUATION.search(_named_words(loader)) is not None


def trains(script: Script) -> bool:
    """Does the file train anything: a backward pass, a training step, or a trainer that has both."""
    if next(calls_of(script, "backward", "fit", "create_supervised_trainer", "Trainer"), None) is not None:
        return True
    return any(node.name == "training_step" for node in script.of_type(ast.FunctionDef))


def batch_size(script: Script, loader: Loader) -> tuple[int, str] | None:
    """How many samples the loader gives at a time, and how the source says so; None where it is not literal."""
    if loader.given("batch_sampler"):
        return None
    value = loader.arguments.get("batch_size")
    if value is None:
        return (1, "batch_size=1 (the default)") if loader.complete else None
    number = integer(script, scope_of(script, loader.call), value)
    if number is None:
        return None
    text = script.source(value)
    return number, f"batch_size={number}" if text == str(number) else f"batch_size={text}` = `{number}"


def integer(script: Script, scope: Scope, value: ast.expr | None) -> int | None:
    """The integer that an expression stands for: a literal, a name with one literal value, an option's default."""
    for _ in range(4):
        if isinstance(value, ast.Constant):
            return value.value if type(value.value) is int else None
        if isinstance(value, ast.Call) and dotted(value.func) == "int" and len(value.args) == 1:
            value = value.args[0]
        elif isinstance(value, ast.Name):
            value, scope = _named(script, scope, value.id)
        elif isinstance(value, ast.Attribute):
            value = _option(script, value)
        elif isinstance(value, ast.Subscript):
            value = _entry(scope, scopes(script)[script.tree], value)
        else:
            return None
    return None


def _named(script: Script, scope: Scope, name: str) -> tuple[ast.expr | None, Scope]:
    top = scopes(script)[script.tree]
    if name in scope.parameters():
        return (None if name in scope.bound else _parameter(script, scope, name)), top
    return (scope.value(name), scope) if name in scope.bound else (top.value(name), top)


def _entry(scope: Scope, top: Scope, value: ast.Subscript) -> ast.expr | None:
    """The `4` of `config["batch_size"]`, where `config` is a dict that is written out once."""
    name = dotted(value.value)
    held = scope.value(name) if name in scope.bound else top.value(name)
    if isinstance(held, ast.Dict):
        pairs = zip(held.keys, held.values, strict=True)
        return next((one for key, one in pairs if key is not None and ast.dump(key) == ast.dump(value.slice)), None)
    if isinstance(held, ast.Call) and dotted(held.func) == "dict":
        wanted = getattr(value.slice, "value", None)
        return next((one.value for one in held.keywords if one.arg == wanted), None)
    return None


def _parameter(script: Script, scope: Scope, name: str) -> ast.expr | None:
    """The default of a parameter; the one argument that its callers in this file pass, where they pass one."""
    given = [passed(call, scope).get(name) for call in callers(script, scope.node)]
    if given and all(one is not None for one in given):
        texts = {ast.dump(one) for one in given if one is not None}
        return given[0] if len(texts) == 1 else None
    return None if any(given) else defaults(scope.node).get(name)  # type: ignore[arg-type]  # only functions have parameters


def _option(script: Script, value: ast.Attribute) -> ast.expr | None:
    """The default of the command line option, or the one value of the class attribute, behind `args.batch_size`."""
    found = [default for call in script.of_type(ast.Call) if (default := _default(call, value.attr)) is not None]
    for owner in script.of_type(ast.ClassDef):
        for statement in owner.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
            stored = getattr(statement, "value", None)
            if stored is not None and any(isinstance(one, ast.Name) and one.id == value.attr for one in targets):
                found.append(stored)
    found += [one for scope in scopes(script).values() for one in scope.bound.get(dotted(value), ()) if one is not None]
    return found[0] if len(found) == 1 else None


def _default(call: ast.Call, destination: str) -> ast.expr | None:
    """The default of `add_argument("--batch-size", default=4)` when its destination is the given one."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"):
        return None
    keywords = {one.arg: one.value for one in call.keywords}
    names = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    own = keywords.get("dest")
    if isinstance(own, ast.Constant):
        names = [str(own.value)]
    long = [name for name in names if name.startswith("--")] or names
    fits = bool(long) and long[0].lstrip("-").replace("-", "_") == destination
    return keywords.get("default") if fits else None


def _bound_name(script: Script, call: ast.Call) -> str:
    """The name, key or function that a loader is known by."""
    for parent in script.ancestors(call, ast.AST):
        if isinstance(parent, ast.Assign) and not isinstance(parent.targets[0], ast.Tuple):
            return ast.unparse(parent.targets[0])
        if isinstance(parent, ast.AnnAssign):
            return ast.unparse(parent.target)
        if isinstance(parent, ast.Assign):
            return _matched(parent, call)
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
            return parent.name
        if isinstance(parent, ast.keyword) and parent.arg:
            return parent.arg
    return ""


def _matched(assign: ast.Assign, call: ast.Call) -> str:
    target = assign.targets[0]
    if isinstance(target, ast.Tuple) and isinstance(assign.value, ast.Tuple):
        for one, value in zip(target.elts, assign.value.elts, strict=False):
            if value is call:
                return ast.unparse(one)
    return ast.unparse(target)


def _dataset_text(loader: Loader) -> str:
    dataset = loader.arguments.get("dataset")
    if isinstance(dataset, ast.Call):
        return " ".join([dotted(dataset.func), *(ast.unparse(one) for one in dataset.args[:2])])
    return ast.unparse(dataset) if dataset is not None else ""


def _named_words(loader: Loader) -> str:
    return _words(f"{loader.name} {_dataset_text(loader)}")


def _words(text: str) -> str:
    """Lower-case words of a name: `TrainLoader` and `train_loader` are "train loader"."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower()
    return re.sub(r"(train|test|val|valid|eval)(?=_?(data)?(loader|dl|set|iter)|dl\b|\d)", r" \1 ", split)


def unbatches(script: Script) -> bool:
    """Does a loop drop the batch axis again, because the data set already gives batches."""
    return any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr in ("squeeze", "squeeze_")
        and [getattr(one, "value", None) for one in call.args] == [0]
        and loops(script, call)
        for call in script.of_type(ast.Call)
    )
