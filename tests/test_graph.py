"""The layer graph: unknown facts raise, known ones come out as they went in."""

from __future__ import annotations

import pytest

from normfix.graph import Argument, Call, Layer, LayerGraph, Undecided, Unknown, exclusive, known
from normfix.readers import scripts


def layer(**arguments: object) -> Layer:
    return Layer("Conv2d", "conv", arguments={name: Argument(value) for name, value in arguments.items()})


class TestHyperParameters:
    def test_an_unknown_value_is_undecided_and_names_the_layer(self) -> None:
        with pytest.raises(Undecided, match=r"`bias` of `conv`: it is an expression"):
            layer(bias=Unknown("it is an expression")).flag("bias")

    def test_an_absent_value_may_hide_in_unread_arguments(self) -> None:
        one = layer(in_channels=3)
        one.incomplete = Unknown("`**options` cannot be read")
        with pytest.raises(Undecided, match="options"):
            one.value("bias")
        assert one.value("in_channels") == 3

    def test_a_parameter_without_a_default_is_undecided(self) -> None:
        with pytest.raises(Undecided, match="not given"):
            layer().value("out_channels")

    def test_an_unknown_kind_has_no_defaults(self) -> None:
        with pytest.raises(Undecided, match="not given"):
            Layer("unknown", "block").value("bias")

    def test_the_default_is_in_force_where_nothing_was_passed(self) -> None:
        assert layer().value("bias") is True
        assert layer().value("padding_mode") == "zeros"
        assert layer().argument("bias") is None

    @pytest.mark.parametrize("value", [True, 1.0, "8", None], ids=["a bool", "a float", "a string", "None"])
    def test_no_integer(self, value: object) -> None:
        with pytest.raises(Undecided, match="not an integer"):
            layer(groups=value).integer("groups")

    @pytest.mark.parametrize("value", [True, "1e-5", None], ids=["a bool", "a string", "None"])
    def test_no_number(self, value: object) -> None:
        with pytest.raises(Undecided, match="not a number"):
            layer(eps=value).number("eps")

    def test_truth_is_taken_as_torch_takes_it(self) -> None:
        assert layer(bias=1).flag("bias") is True
        assert layer(bias=0).flag("bias") is False
        assert layer(bias=None).flag("bias") is False


def network() -> tuple[LayerGraph, Call, Call, Call]:
    """x -> conv -> norm, and the sum of conv and norm."""
    x = Call(Layer("input", "x"), shape=(2, 3))
    conv = Call(Layer("Conv2d", "conv"), (x,), (2, 8))
    norm = Call(Layer("BatchNorm2d", "norm"), (conv,), (2, 8))
    total = Call(Layer("add", "add"), (norm, conv))
    graph = LayerGraph("net", [conv.layer, norm.layer], [x, conv, norm, total], [total])
    return graph, conv, norm, total


class TestCalls:
    def test_readers_of_an_open_graph_are_undecided(self) -> None:
        graph, conv, *_ = network()
        graph.open = Unknown("the calls are not known")
        with pytest.raises(Undecided, match="calls are not known"):
            graph.readers(conv)
        with pytest.raises(Undecided, match="calls are not known"):
            graph.calls_of(conv.layer)

    def test_readers_of_an_escaping_result_are_undecided(self) -> None:
        graph, conv, *_ = network()
        conv.escapes = Unknown("it is stored in a list")
        with pytest.raises(Undecided, match=r"`conv` may be read elsewhere: it is stored"):
            graph.readers(conv)

    def test_calls_of_an_escaping_layer_are_undecided(self) -> None:
        graph, conv, *_ = network()
        conv.layer.escapes = Unknown("it is handed to a function")
        with pytest.raises(Undecided, match="used elsewhere"):
            graph.calls_of(conv.layer)

    def test_a_missing_input_is_undecided(self) -> None:
        call = Call(Layer("BatchNorm2d", "norm"))
        with pytest.raises(Undecided, match="what feeds `norm`"):
            call.producer()
        with pytest.raises(Undecided, match="input shape of `norm`"):
            call.input_shape()

    def test_a_producer_that_is_not_understood_is_undecided(self) -> None:
        call = Call(Layer("BatchNorm2d", "norm"), (Call(Layer("unknown", "f", reason="`f` is not known")),))
        with pytest.raises(Undecided, match="`f` is not known"):
            call.producer()

    def test_an_unknown_shape_is_undecided(self) -> None:
        call = Call(Layer("BatchNorm2d", "norm"), (Call(Layer("input", "x")),))
        with pytest.raises(Undecided, match="example inputs"):
            call.input_shape()

    def test_several_readers_are_no_only_reader(self) -> None:
        graph, conv, *_ = network()
        with pytest.raises(Undecided, match="other readers"):
            graph.only_reader(conv)

    def test_an_output_has_no_only_reader(self) -> None:
        graph, _, norm, total = network()
        assert graph.only_reader(norm) is total
        graph.outputs.append(norm)
        with pytest.raises(Undecided, match="other readers"):
            graph.only_reader(norm)

    def test_a_call_that_reads_a_result_twice_reads_it_once(self) -> None:
        x = Call(Layer("input", "x"))
        square = Call(Layer("mul", "mul"), (x, x))
        graph = LayerGraph("net", [], [x, square], [square])
        assert graph.readers(x) == [square]

    def test_what_is_known(self) -> None:
        graph, conv, norm, total = network()
        assert graph.readers(conv) == [norm, total]
        assert graph.calls_of(conv.layer) == [conv]
        assert graph.calls_of(Layer("Conv2d", "other")) == []
        assert norm.producer() is conv
        assert norm.input_shape() == (2, 8)
        assert graph.is_output(total) and not graph.is_output(conv)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((), (), False),
        (((1, 0),), (), False),
        (((1, 0),), ((1, 0),), False),
        (((1, 0),), ((2, 1),), False),
        (((1, 0),), ((1, 1),), True),
        (((1, 0), (2, 0)), ((1, 0), (2, 1)), True),
    ],
    ids=["no branches", "one is always run", "one branch", "two branchings", "two branches", "nested"],
)
def test_exclusive_calls(
    first: tuple[tuple[int, int], ...], second: tuple[tuple[int, int], ...], expected: bool
) -> None:
    one, two = (Call(Layer("relu", "relu"), branches=branches) for branches in (first, second))
    assert exclusive(one, two) is expected
    assert exclusive(two, one) is expected


def test_known_gives_the_fact_or_raises() -> None:
    assert known(0) == 0
    assert known(None) is None
    with pytest.raises(Undecided, match="why"):
        known(Unknown("why"))


def test_what_a_debugger_prints_of_a_graph_is_bounded() -> None:
    first = call = Call(Layer("input", "x"), shape=(2, 8))
    graph = LayerGraph("Net", calls=[call])
    for _ in range(60):  # 2 ** 60 paths lead from the last call to the first
        call = Call(Layer("add", "add"), (call, call))
        graph.calls.append(call)
    assert repr(first) == "<Call of 'x': input, (2, 8)>"
    assert repr(call) == "<Call of 'add': add, shape unknown>"
    assert repr(call.layer) == "<Layer 'add': add>"
    assert repr(graph) == "<LayerGraph 'Net': 0 layers, 61 calls>"
    assert repr(scripts.read("x = 1\n" * 1000, "net.py")) == "<Script 'net.py': 6000 characters>"
