"""A line of text says how near the venue's level an account came: every height below is worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.report.sparkline import sparkline, top_of

INF = float("inf")


def text(ratios: list[float], level: float = 1.0, width: int = 80, **more: object) -> str:
    return sparkline(np.array(ratios), level, (), width, **more).text  # type: ignore[arg-type]


def test_every_doubling_of_the_ratio_is_a_block_where_seven_of_them_reach_the_top() -> None:
    """log2(r) of 7 doublings: 0 is the level itself, and the last of the seven blocks above holds 64 and 128."""
    assert text([1, 2, 4, 8, 16, 32, 64, 128]) == "▁▃▄▅▆▇██"


def test_only_what_is_at_the_venues_level_or_below_is_the_lowest_block() -> None:
    assert text([1.06, 1.05, 0.2, -63.0], level=1.05) == "▂▁▁▁"


def test_a_cell_shows_the_lowest_ratio_of_its_stretch() -> None:
    """Two bars a cell: the lowest are 2 of (128, 2) and 128 of (128, 128), a seventh of the way and all of it."""
    line = sparkline(np.array([128.0, 2.0, 128.0, 128.0]), 1.0, (), 2)
    assert (line.text, line.low) == ("▃█", 0)


def test_a_stretch_in_which_the_venue_took_something_is_a_cross() -> None:
    line = sparkline(np.array([128.0, 128.0, 2.0, 0.9, 128.0, 128.0]), 1.0, [3], 3)
    assert (line.text, line.low, line.crosses) == ("█×█", 1, (1,))


def test_nothing_is_drawn_while_no_margin_is_required() -> None:
    line = sparkline(np.array([INF, 2.0, float("nan")]), 1.0, (), 3)
    assert (line.text, line.low) == ("·█·", 1)
    nothing = sparkline(np.array([INF, INF]), 1.0, (), 2)
    assert (nothing.text, nothing.low) == ("··", None)


def test_a_ratio_that_hardly_moves_does_not_look_as_if_it_did() -> None:
    """The line reaches to twice the level at least: 1.06 and 1.07 are a twelfth and a tenth of the way, one block."""
    assert text([1.06, 1.07]) == "▂▂"


def test_lines_of_one_scale_can_be_compared() -> None:
    """Both to 64 times the level: 8 is half of the way in logarithms, whether the level is 1 or 2."""
    assert text([64.0, 8.0], top=64.0) == text([128.0, 16.0], level=2.0, top=64.0) == "█▅"


@pytest.mark.parametrize("ratios, top", [([1.1], 2.0), ([50.0, INF], 50.0), ([1e9], 1000.0), ([], 2.0)])
def test_the_scale_ends_at_the_highest_ratio_within_reason(ratios: list[float], top: float) -> None:
    assert top_of(np.array(ratios), 1.0) == top


def test_a_line_of_plain_letters_says_the_same() -> None:
    line = sparkline(np.array([1.0, 128.0, INF, 2.0]), 1.0, [3], 4, plain=True)
    assert line.text == "_# x"
    assert line.text.isascii()


def test_a_line_is_no_longer_than_the_bars_there_are() -> None:
    assert len(text([2.0, 3.0, 4.0])) == 3
    assert text([]) == ""
