"""NF105 indivisible-groups: a number of groups that does not divide the channels, or that is what it is by accident."""

from collections.abc import Iterator

from normfix import norms
from normfix.checks._flow import ELEMENTWISE, same
from normfix.engine import Facts, Rule, on_call, on_layer
from normfix.findings import Problem, Severity
from normfix.graph import Call, Layer, Unknown
from normfix.vocabulary import CONVOLUTIONS

RULE = Rule("NF105", "indivisible-groups", Severity.ERROR, readers={"source", "model"})


@on_layer(RULE, norms.GROUP - {"group_norm"})
def indivisible_groups(layer: Layer, facts: Facts) -> Iterator[Problem]:
    """GroupNorm(groups, channels): the constructor raises; G == C is an instance norm, G == 1 a layer norm."""
    groups, channels = norms.groups(layer), norms.channels(layer)
    if groups < 1 or channels % groups:
        swapped = channels > 0 and groups > channels and groups % channels == 0
        yield Problem(
            layer.site,
            f"`{layer.name}` has {groups} groups, which do not divide its {channels} channels"
            + (": the arguments look swapped" if swapped else ""),
            help=f"Write `GroupNorm({channels}, {groups})`"
            if swapped
            else f"Use a divisor of {channels}, such as {_divisor(channels)}",
        )
    elif 1 < groups == channels and _differ(layer):
        yield _accident(layer, f"has {groups} groups for {groups} channels: each is normalised alone, an instance norm")
    elif groups == 1 < channels and _is_computed(layer):
        yield _accident(layer, f"has one group for its {channels} channels: it normalises them together, a layer norm")


@on_call(RULE, {"GroupNorm"})
def swapped_groups(call: Call, facts: Facts) -> Iterator[Problem]:
    """GroupNorm(channels, 32) behind a convolution of that many channels, however many these are."""
    groups, channels = (call.layer.arguments.get(one) for one in ("num_groups", "num_channels"))
    if groups is None or channels is None or not isinstance(groups.value, Unknown):
        return
    if not isinstance(channels.value, int) or not channels.text.isdigit():
        return
    maker = call.producer()
    while maker.kind in ELEMENTWISE:
        maker = maker.producer()
    if maker.kind in CONVOLUTIONS and same(maker.layer, "out_channels", call.layer, "num_groups"):
        yield Problem(
            call.layer.site,
            f"`{call.layer.name}` has as many groups as `{maker.layer.name}` makes channels (`{groups.text}`), and "
            f"is built for {channels.text} channels: the arguments look swapped",
            help=f"Write `GroupNorm({channels.text}, {groups.text})`",
        )


def _accident(layer: Layer, fact: str) -> Problem:
    return Problem(
        layer.site,
        f"`{layer.name}` {fact}",
        help="Choose the number of groups for this width",
        severity=Severity.INFO,
    )


def _differ(layer: Layer) -> bool:
    """Are groups and channels written as two things, which only happen to be equal here."""
    groups, channels = layer.arguments.get("num_groups"), layer.arguments.get("num_channels")
    if groups is None or channels is None or not groups.text or not channels.text:
        return False
    return groups.text != channels.text and not (groups.text.isdigit() and channels.text.isdigit())


def _is_computed(layer: Layer) -> bool:
    groups = layer.arguments.get("num_groups")
    return groups is not None and "(" in groups.text


def _divisor(channels: int) -> int:
    """The largest divisor that is at most 32, the number of groups of the GroupNorm paper."""
    return max((size for size in range(1, 33) if channels > 0 and channels % size == 0), default=1)
