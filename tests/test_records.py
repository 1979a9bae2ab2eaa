"""Records behave as the dataclasses that type checkers take them for."""

import copy
import dataclasses
import pickle

import pytest

from normfix.records import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list, repr=False)

    @property
    def total(self) -> int:
        return self.x + self.y


@dataclass(frozen=True, slots=True)
class Named(Point):
    name: str = ""


@dataclass(eq=False)
class Open:
    x: int
    y: int | None = None


@dataclass(slots=True)
class Plain:
    x: int = 1


def test_construction_and_defaults() -> None:
    assert (Point(1).x, Point(1).y, Point(1).total) == (1, 2, 3)
    assert Point(1).tags is not Point(1).tags
    assert Point(1, y=5) == Point(x=1, y=5)
    assert Named(1, 2, [], "a").name == "a"


@pytest.mark.parametrize("arguments", [(), (1, 2, [], 4)], ids=["too few", "too many"])
def test_wrong_arguments(arguments: tuple[object, ...]) -> None:
    with pytest.raises(TypeError, match="__init__"):
        Point(*arguments)  # type: ignore[arg-type]


def test_frozen_records_do_not_change() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="cannot change `x` of a frozen Point"):
        point.x = 3  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del point.x
    plain = Plain()
    plain.x = 7
    assert plain == Plain(7)


def test_slots_leave_no_room() -> None:
    with pytest.raises(AttributeError):
        Plain().other = 1  # type: ignore[attr-defined]


def test_equality_and_hash() -> None:
    assert Point(1) != Point(2)
    assert Point(1) != Named(1)
    assert hash(replace(Point(1), tags=())) == hash(replace(Point(1), tags=()))
    assert Open(1) != Open(1)
    assert len({Open(1), Open(1)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Plain())


def test_repr() -> None:
    assert repr(Point(1)) == "Point(x=1, y=2)"


def test_the_tools_of_dataclasses_work() -> None:
    point = Point(1, tags=["a"])
    assert dataclasses.asdict(point) == {"x": 1, "y": 2, "tags": ["a"]}
    assert dataclasses.replace(point, x=5) == replace(point, x=5) == Point(5, 2, ["a"])
    assert [one.name for one in dataclasses.fields(Named)] == ["x", "y", "tags", "name"]
    assert dataclasses.is_dataclass(point)


def test_copies() -> None:
    point = Point(1, tags=["a"])
    deep = copy.deepcopy(point)
    assert deep == point == pickle.loads(pickle.dumps(point))
    assert deep.tags is not point.tags


def test_matching() -> None:
    match Point(1, 5):
        case Point(x, y):
            assert (x, y) == (1, 5)


def test_the_first_instances_are_like_the_later_ones() -> None:
    @dataclass(frozen=True, slots=True)
    class Fresh:
        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list)

    made = [Fresh(number, tags=["a"]) for number in range(60)]
    assert [(one.x, one.y, one.tags) for one in made] == [(number, 2, ["a"]) for number in range(60)]
    assert len({id(Fresh(1).tags) for _ in range(2)} | {id(made[0].tags)}) >= 2


@pytest.mark.parametrize(
    "arguments, named",
    [((), {}), ((1, 2, [], 4), {}), ((1,), {"x": 2}), ((1,), {"z": 2})],
    ids=["missing", "too many", "twice", "unknown"],
)
def test_wrong_arguments_of_the_first_instance(arguments: tuple[int, ...], named: dict[str, int]) -> None:
    @dataclass(frozen=True, slots=True)
    class Fresh:
        x: int
        y: int = 2
        tags: list[str] = field(default_factory=list)

    with pytest.raises(TypeError, match="__init__"):
        Fresh(*arguments, **named)  # type: ignore[arg-type]
