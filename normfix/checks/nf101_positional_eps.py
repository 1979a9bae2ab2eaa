"""NF101 positional-eps: a value meant for another parameter stands in `eps`, the second or third positional one."""

from collections.abc import Collection, Iterator

from normfix import norms, vocabulary
from normfix.checks._flow import twins
from normfix.engine import Facts, Rule, on_layer
from normfix.findings import NameArgument, Problem, Safety, Severity
from normfix.graph import Argument, Layer, Undecided

RULE = Rule("NF101", "positional-eps", Severity.ERROR, readers={"source", "model", "onnx"})
MODULES = frozenset(kind for kind in norms.NORMS if "eps" in vocabulary.signature(kind) and not kind.islower())
BLATANT, STRIKING = 0.1, 0.05
"""From this size on, eps is no guard against division by zero any more: 0.1 halves a variance of 0.1."""


@on_layer(RULE, MODULES)
def positional_eps(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """The output shrinks by sqrt(var / (var + eps)), in silence: constructors take a bool or an int for eps."""
    eps = layer.argument("eps")
    if eps is None:
        return
    severity = _severity(eps, _before(layer, eps), facts)
    if severity is None:
        return
    if eps.position is not None and _is_elsewhere_another(layer, eps.position, facts):
        raise Undecided(f"the line that makes `{layer.name}` makes norms of other parameters too, by an option")
    shown = eps.text or repr(eps.value)
    if eps.position is None:
        yield Problem(
            layer.site,
            f"`{layer.name}` has an eps of `{shown}`, which shrinks its output: eps only guards the division",
            help="Use the default of 1e-5, unless the weights were trained with this value",
            severity=severity,
        )
        return
    if isinstance(eps.value, str):
        yield Problem(
            layer.site,
            f"`{layer.name}` takes the string `{eps.value}` as eps: `{shown}` is passed by position",
            help="Name the argument, or write `**` where options were meant to be passed",
        )
        return
    yield Problem(
        layer.site,
        f"`{layer.name}` takes `{shown}`, its positional argument {eps.position + 1}, as eps",
        help="Name the argument: `momentum=`, `affine=` where that was meant, `eps=` to keep what runs now",
        severity=severity,
        remedy=NameArgument(layer.site, eps.position, "eps", later=_later(layer, eps.position)),
        safety=Safety.SAFE,
    )


def _before(layer: Layer, eps: Argument) -> set[str]:
    """How the arguments are written that stand before a positional eps: the width, and the groups of a group norm."""
    place = -1 if eps.position is None else eps.position
    return {one.text for one in layer.arguments.values() if one.position is not None and one.position < place}


def _severity(eps: Argument, before: Collection[str], facts: Facts) -> Severity | None:
    value, positional = eps.value, eps.position is not None
    if isinstance(value, (bool, str)) or (positional and eps.text and eps.text in before):
        return Severity.ERROR
    if positional and "momentum" in eps.text.lower():
        return Severity.ERROR
    if not isinstance(value, (int, float)):
        return None
    if not positional and eps.text.replace(".", "_").isidentifier():
        return None  # an option or a constant of that name: whoever named it knew what it is
    if value >= BLATANT and (positional or facts.reader != "source"):
        return Severity.ERROR
    if value >= STRIKING:
        return Severity.WARNING
    return Severity.INFO if value > norms.UNUSUAL_EPS else None


def _is_elsewhere_another(layer: Layer, position: int, facts: Facts) -> bool:
    """Does the same line make norms whose parameter at this position is another: `norm(groups, channels)`."""
    kinds = {other.kind for other, _ in twins(layer, facts)} - {layer.kind}
    return any(tuple(vocabulary.positional(kind))[position : position + 1] != ("eps",) for kind in kinds)


def _later(layer: Layer, position: int) -> tuple[str, ...]:
    passed = layer.arguments
    names = vocabulary.positional(layer.kind)[position + 1 :]
    return tuple(name for name in names if name in passed and passed[name].position is not None)
