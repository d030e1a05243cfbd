"""The config of every point of a sweep as TOML, packed: one text with gaps, and what stands in each gap by point.

What a reader copies from the page is a run: saved to a file, `backtest run` lives that one point again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from backtest.research.points import Point
from backtest.research.settings import put_all, value_at

GAP = "\ue000"  # a letter of nobody's: no config has it


def packed_configs(settings: Mapping[str, Any], rows: Sequence[Point], paths: Sequence[str]) -> dict[str, Any]:
    """`text` with gaps, and by gap its `words` and, a row each, which of them stand there (`at`).

    `settings`: the run under all points; `rows`: values by path; a path that a row leaves alone stands as in the run.
    Where one path lies within another, or a setting is off at a point, every row has a text of its own.
    """
    usual = {path: value_at(settings, path) for path in paths}
    values = [[row.get(path, usual[path]) for row in rows] for path in paths]
    text = _whole(settings, {path: gap(k).strip('"') for k, path in enumerate(paths)})
    if all(gap(k) in text for k in range(len(paths))) and not any(None in each for each in values):
        return {"text": text, "values": [_coded([literal(value) for value in each]) for each in values]}
    return {"text": gap(0), "values": [_coded([_whole(settings, row) for row in rows])]}


def gap(number: int) -> str:
    """What stands in the text for a value."""
    return f'"{GAP}{number}{GAP}"'


def filled(configs: Mapping[str, Any], row: int) -> str:
    """The text of one row; the page's script does the same."""
    text = str(configs["text"])
    for k, values in enumerate(configs["values"]):
        text = text.replace(gap(k), values["words"][values["at"][row]])
    return text


def literal(value: Any) -> str:
    """A value as TOML on one line."""
    import tomli_w

    if isinstance(value, Mapping):
        pairs = [f"{_key(str(key))} = {literal(each)}" for key, each in value.items() if each is not None]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(literal(each) for each in value)}]"
    return tomli_w.dumps({"x": value}).removeprefix("x = ").rstrip("\n")


def _key(key: str) -> str:
    import tomli_w

    return tomli_w.dumps({key: 0}).removesuffix(" = 0\n")


def _whole(settings: Mapping[str, Any], point: Point) -> str:
    """One point's config as text."""
    import tomli_w

    own = deepcopy(dict(settings))
    put_all(own, point)
    return tomli_w.dumps(_told(own))


def _told(value: Any) -> Any:
    """Settings without those that are not set: TOML has no word for nothing."""
    if isinstance(value, Mapping):
        return {key: _told(each) for key, each in value.items() if each is not None}
    return [_told(each) for each in value] if isinstance(value, list) else value


def _coded(words: Sequence[str]) -> dict[str, Any]:
    distinct = list(dict.fromkeys(words))
    places = {word: k for k, word in enumerate(distinct)}
    return {"words": distinct, "at": [places[word] for word in words]}
