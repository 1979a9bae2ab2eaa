"""Where a new argument goes in a call as its author laid it out, and what remains when one leaves."""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst

from normfix.errors import Refused

_NOTHING = cst.SimpleWhitespace("")
Blank = cst.BaseParenthesizableWhitespace


def equal(arguments: Sequence[cst.Arg]) -> cst.AssignEqual:
    """The `=` of a keyword, spaced as in the last keyword that is there."""
    for argument in reversed(arguments):
        sign = argument.equal
        if isinstance(sign, cst.AssignEqual) and not (
            _breaks(sign.whitespace_before) or _breaks(sign.whitespace_after)
        ):
            return sign
    return cst.AssignEqual(whitespace_before=_NOTHING, whitespace_after=_NOTHING)


def added(call: cst.Call, new: cst.Arg, index: int) -> cst.Call:
    """The call with one more argument before the one at `index`, or at the end."""
    arguments = list(call.args)
    if not arguments:
        return call.with_changes(args=[new])
    if index < len(arguments):
        return call.with_changes(args=_inserted(call, arguments, new, index))
    return call.with_changes(args=_appended(call, arguments, new))


def removed(call: cst.Call, index: int) -> cst.Call:
    """The call without the argument at `index`. Raises `Refused` where a comment would be lost."""
    arguments = list(call.args)
    gone = arguments.pop(index)
    blanks = [_after(gone)] if index < len(arguments) else []
    if not arguments:
        blanks = [_after(gone), call.whitespace_before_args]
        call = call.with_changes(whitespace_before_args=_NOTHING)
    elif index == len(arguments):
        blanks = [_after(arguments[-1])]
        arguments[-1] = arguments[-1].with_changes(comma=gone.comma, whitespace_after_arg=gone.whitespace_after_arg)
    if any(_comments(blank) for blank in blanks):
        raise Refused("a comment stands beside the argument")
    return call.with_changes(args=arguments)


def _inserted(call: cst.Call, arguments: list[cst.Arg], new: cst.Arg, index: int) -> list[cst.Arg]:
    before = _after(arguments[index - 1]) if index else call.whitespace_before_args
    blank = _plain(before) if index or _breaks(before) else cst.SimpleWhitespace(" ")
    return [*arguments[:index], new.with_changes(comma=cst.Comma(whitespace_after=blank)), *arguments[index:]]


def _appended(call: cst.Call, arguments: list[cst.Arg], new: cst.Arg) -> list[cst.Arg]:
    last = arguments[-1]
    closing = _after(last)
    separators = [_after(argument) for argument in arguments[:-1]] or [call.whitespace_before_args]
    if all(_breaks(blank) for blank in separators):
        # One argument a line: the comments behind the last one stay behind it.
        between, closing = _continued(closing, separators[-1]), _plain(closing)
    else:
        between = separators[-1] if len(arguments) > 1 else cst.SimpleWhitespace(" ")
        between = cst.SimpleWhitespace(" ") if _breaks(between) else between
    comma = cst.Comma(whitespace_after=between)
    if isinstance(last.comma, cst.Comma):
        before = last.comma.whitespace_before
        new = new.with_changes(comma=cst.Comma(_NOTHING if _breaks(before) else before, whitespace_after=closing))
        comma = comma.with_changes(whitespace_before=before)
    else:
        new = new.with_changes(whitespace_after_arg=closing)
    return [*arguments[:-1], last.with_changes(comma=comma, whitespace_after_arg=_NOTHING), new]


def _after(argument: cst.Arg) -> Blank:
    """What stands between this argument, or its comma, and what follows."""
    return argument.comma.whitespace_after if isinstance(argument.comma, cst.Comma) else argument.whitespace_after_arg


def _breaks(blank: Blank) -> bool:
    return isinstance(blank, cst.ParenthesizedWhitespace)


def _comments(blank: Blank) -> bool:
    if not isinstance(blank, cst.ParenthesizedWhitespace):
        return False
    return blank.first_line.comment is not None or any(line.comment is not None for line in blank.empty_lines)


def _plain(blank: Blank) -> Blank:
    """The same line break and indentation, without comments and empty lines."""
    if not isinstance(blank, cst.ParenthesizedWhitespace):
        return blank
    first = blank.first_line.with_changes(whitespace=_NOTHING, comment=None)
    return blank.with_changes(first_line=first, empty_lines=[])


def _continued(closing: Blank, separator: Blank) -> Blank:
    """What stood before the closing parenthesis, ending in the indentation of an argument."""
    if not isinstance(closing, cst.ParenthesizedWhitespace):
        return _plain(separator)
    assert isinstance(separator, cst.ParenthesizedWhitespace)
    return closing.with_changes(last_line=separator.last_line)
