"""Strings found and changed inside a JSON text, every other byte kept."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normfix.fixes.edits import Edit, edited
from normfix.fixes.jsontext import Lines, items, members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), JSON), st.sampled_from([None, 1, 4]), st.booleans())
def test_every_member_is_found_where_it_stands(value: dict[str, object], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = members(text, 0)
    assert {key: json.loads(text[start:end]) for key, (start, end) in found.items()} == value


@given(st.lists(JSON), st.sampled_from([None, 1, 4]))
def test_every_item_is_found_where_it_stands(value: list[object], indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert [json.loads(text[start:end]) for start, end in items(text, 0)] == value


@given(
    st.lists(st.text(st.sampled_from('aé😀"\\\t ')), min_size=1),
    st.data(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_a_change_reads_back_and_touches_no_other_line(
    lines: list[str], data: st.DataObject, listed: bool, ascii_only: bool, indent: int | None
) -> None:
    whole = "\n".join(lines)
    pieces = whole.splitlines(keepends=True) or [""]
    raw = json.dumps(pieces if listed else whole, ensure_ascii=ascii_only, indent=indent)
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    text = data.draw(st.sampled_from(["", "x", "x\n", "\nx", "x\ny\n", "ü"]))
    found = Lines.at(raw, 0)
    new = edited(raw, [Edit(found.offset(start), found.offset(end), found.written(text, start, end))])
    joined = "".join(json.loads(new)) if listed else json.loads(new)
    assert joined == whole[:start] + text + whole[end:]
    first = whole.count("\n", 0, start)
    if listed:
        assert Lines.at(new, 0).pieces[:first] == pieces[:first]


def test_a_new_line_gets_a_string_of_its_own() -> None:
    raw = '[\n  "a\\n",\n  "b"\n ]'
    lines = Lines.at(raw, 0)
    at = lines.offset(2)
    assert edited(raw, [Edit(at, at, lines.written("x\n", 2, 2))]) == '[\n  "a\\n",\n  "x\\n",\n  "b"\n ]'


def test_what_is_neither_a_string_nor_a_list_is_named() -> None:
    with pytest.raises(ValueError, match="neither"):
        Lines.at("3", 0)
