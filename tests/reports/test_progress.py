"""The bar: on a terminal only, and gone at the end."""

from __future__ import annotations

import io

import pytest

from normfix.reports.progress import watched


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self):
        return True


def test_silent_where_no_terminal_is(capsys: pytest.CaptureFixture[str]):
    assert list(watched(iter([1, 2]), "calibrating")) == [1, 2]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("items", [pytest.param([1, 2], id="length-known"), pytest.param(iter([1, 2]), id="unknown")])
def test_a_bar_on_a_terminal_that_is_gone_at_the_end(items, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    assert list(watched(items, "calibrating")) == [1, 2]
    assert "calibrating" in terminal.getvalue() and terminal.getvalue().endswith("\x1b[2K")
    assert capsys.readouterr().out == ""
