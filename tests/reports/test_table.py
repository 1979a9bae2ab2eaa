"""Rows as text: nothing is cut off, whatever the width."""

from normfix.reports.table import table

ROWS = [
    {"#": 1, "path": "layer1.bn", "layer": "BatchNorm2d", "eps": "1e-05", "fold": "into `layer1.conv`"},
    {"#": 2, "path": "layer2.bn", "layer": "BatchNorm2d", "eps": "0.001", "fold": ""},
]


def test_no_rows_are_no_text():
    assert table([], 80) == ""


def test_columns_line_up_where_there_is_room():
    assert table(ROWS, 80).splitlines() == [
        "#  path       layer        eps    fold",
        "1  layer1.bn  BatchNorm2d  1e-05  into `layer1.conv`",
        "2  layer2.bn  BatchNorm2d  0.001",
    ]


def test_rows_become_paragraphs_where_there_is_none():
    lines = table(ROWS, 40).splitlines()
    assert lines == [
        "1  layer1.bn  BatchNorm2d",
        "    eps 1e-05; fold into `layer1.conv`",
        "",
        "2  layer2.bn  BatchNorm2d",
        "    eps 0.001",
    ]


def test_a_column_that_is_empty_everywhere_is_left_out():
    assert table([{"a": 1, "b": ""}], 80) == "a\n1\n"


def test_control_characters_do_not_reach_the_terminal():
    assert "\x1b" not in table([{"path": "evil\x1b[2J"}], 80)
