"""The vocabulary, held against the signatures of the installed torch, torchvision and timm."""

import inspect

import pytest
import torch
import torch.nn.functional as F

from normfix import norms, vocabulary

STOCK = sorted(kind for kind in vocabulary.kinds() if "." not in kind and not kind.startswith("SwitchNorm"))
FOREIGN = sorted(kind for kind in vocabulary.kinds() if "." in kind)


def real_signature(function: object) -> list[tuple[str, object]]:
    """Names and defaults in the notation of `vocabulary.signature`."""
    found: list[tuple[str, object]] = []
    for name, parameter in inspect.signature(function).parameters.items():  # type: ignore[arg-type]
        if parameter.kind is parameter.VAR_POSITIONAL:
            name = "*" + name
        elif parameter.kind is parameter.VAR_KEYWORD:
            name = "**" + name
        elif parameter.kind is parameter.KEYWORD_ONLY and not any(known.startswith("*") for known, _ in found):
            found.append(("*", ...))
        found.append((name, ... if parameter.default is parameter.empty else parameter.default))
    return found


RECURRENT = ("GRU", "LSTM", "RNN")
"""Their own signatures are `*args, **kwargs`; what they take is in that of their base."""


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_recurrent_layer_takes_what_its_base_does(kind: str) -> None:
    base = dict(real_signature(torch.nn.RNNBase))
    own = dict(vocabulary.signature(kind))
    extra = {"nonlinearity": "tanh"} if kind == "RNN" else {}
    missing = set() if kind == "LSTM" else {"proj_size"}
    assert {name: own[name] for name in own if name not in extra} == {
        name: base[name] for name in base if name not in {"mode", *missing}
    }
    order = [*extra, *base]
    values = {"input_size": 3, "hidden_size": 4, "num_layers": 2, "nonlinearity": "relu", "bias": False}
    made = getattr(torch.nn, kind)(*(values[name] for name in own if name in values))
    assert {name: getattr(made, name) for name in own if name in values} == {
        name: value for name, value in values.items() if name in order
    }


@pytest.mark.parametrize("kind", sorted({*STOCK} - {*RECURRENT}))
def test_signature_is_that_of_the_installed_torch(kind: str) -> None:
    real = getattr(torch.nn, kind, None) or getattr(F, kind)
    assert list(vocabulary.signature(kind).items()) == real_signature(real)


@pytest.mark.parametrize("kind", FOREIGN)
def test_signature_is_that_of_the_installed_library(kind: str) -> None:
    library, _, name = kind.partition(".")
    pytest.importorskip("timm_shim")
    module = pytest.importorskip({"timm": "timm.layers", "torchvision": "torchvision.ops.misc"}[library])
    known = [(key, value) for key, value in vocabulary.signature(kind).items() if key != "act_layer"]
    real = [(key, value) for key, value in real_signature(getattr(module, name)) if key != "act_layer"]
    assert known == real


@pytest.mark.parametrize(
    "kind",
    [
        *(f"{stem}Norm{rank}d" for stem in ("Batch", "LazyBatch", "Instance", "LazyInstance") for rank in (1, 2, 3)),
        "SyncBatchNorm",
        "GroupNorm",
    ],
)
def test_bias_is_keyword_only_as_torch_2_13_introduced_it(kind: str) -> None:
    assert vocabulary.default(kind, "bias") is True
    assert "bias" not in vocabulary.positional(kind)


def test_bias_of_layer_norm_may_be_positional() -> None:
    assert list(vocabulary.positional("LayerNorm"))[3] == "bias"


def test_dilation_of_a_transposed_convolution_comes_after_bias() -> None:
    names = list(vocabulary.positional("ConvTranspose2d"))
    assert names.index("bias") < names.index("dilation")


@pytest.mark.parametrize("name", sorted(vocabulary.kinds()))
def test_every_signature_parses(name: str) -> None:
    assert isinstance(vocabulary.signature(name), dict)


@pytest.mark.parametrize("kind", sorted(norms.NORMS))
def test_every_norm_has_a_signature(kind: str) -> None:
    assert vocabulary.is_known(kind)


@pytest.mark.parametrize(
    "kind",
    sorted(vocabulary.ACTIVATIONS | vocabulary.POOLS | vocabulary.DROPOUTS | vocabulary.PRODUCERS),
)
def test_every_word_names_something_in_torch(kind: str) -> None:
    places = (torch.nn, F, torch, torch.Tensor)
    assert any(hasattr(place, kind) for place in places)


@pytest.mark.parametrize(
    ("spelling", "word"),
    [
        ("add_", "add"), ("__add__", "add"), ("__iadd__", "add"), ("concat", "cat"), ("relu_", "relu"),
        ("swapaxes", "transpose"), ("__truediv__", "div"),
    ],
)  # fmt: skip
def test_canonical_word(spelling: str, word: str) -> None:
    assert vocabulary.canonical(spelling) == word


def test_default_of_an_unknown_parameter_is_none_given() -> None:
    assert vocabulary.default("Conv2d", "nonsense") is ...
    assert vocabulary.default("no such kind", "bias") is ...
