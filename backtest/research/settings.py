"""One setting of a run by its dotted path: whether there is such a setting, what it is, and another value in its place.

`strategy.params.band`, `guards.max_utilization`, `data.start`; of a list the number of the item stands in the path
(`account.0.leverage.default`), without it all of them are meant (`account.margin`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from backtest.config import RunConfig
from backtest.errors import InputError, nearest
from backtest.strategy.strategy import Strategy

AXES = ("scope", "collateral_axis", "requirement")
NOT_TO_BE_TRIED = ("name", "compare", "sweep")
PARAMS = ["strategy", "params"]


def check_path(path: str, resolved: Mapping[str, Any], strategies: Sequence[type[Strategy]]) -> None:
    """InputError, with the nearest one, for a path that no setting of a run has.

    `resolved`: the run's settings, defaults included; `strategies`: those that may be run, of which any may have the
    parameter.
    """
    words = path.split(".")
    stop = _first_unknown(words, resolved, strategies)
    if stop is None:
        return
    k, known = stop
    if not known:
        raise InputError(f"sweep: {path!r}: {'.'.join(words[:k])!r} is one value and has no {words[k]!r} in it")
    near = [[*words[:k], each, *words[k + 1 :]] for each in known]
    whole = [".".join(each if _first_unknown(each, resolved, strategies) is None else each[: k + 1]) for each in near]
    raise InputError(f"sweep: a run has no setting {path!r} that could be tried; {nearest(path, whole)}")


def _first_unknown(
    words: Sequence[str], resolved: Mapping[str, Any], strategies: Sequence[type[Strategy]]
) -> tuple[int, list[str]] | None:
    """The first word that names nothing, and those that would; None where all of the path is there."""
    kinds: list[Any] = [RunConfig]
    here: Any = resolved
    for k, word in enumerate(words):
        below = _below(kinds, word, here)
        if not below or (k == 0 and word in NOT_TO_BE_TRIED):
            return k, [each for each in _words(kinds, here) if k or each not in NOT_TO_BE_TRIED]
        kinds = [each.Params for each in strategies] if words[: k + 1] == PARAMS else below
        here = _inside(here, word)
    return None


def _bare(annotation: Any) -> Iterator[Any]:
    """The kinds of value an annotation allows, one by one, without their bounds."""
    if get_origin(annotation) is Annotated:
        yield from _bare(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for each in get_args(annotation):
            yield from _bare(each)
    elif annotation is not NoneType:
        yield annotation


def _below(kinds: Sequence[Any], word: str, here: Any) -> list[Any]:
    """The kinds of value at a word under some kinds; none where there is no such setting."""
    found: list[Any] = []
    for kind in kinds:
        origin, inner = get_origin(kind), get_args(kind)
        if kind is Any:
            found.append(Any)
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {field.alias or name: field for name, field in kind.model_fields.items()}
            found += _bare(fields[word].annotation) if word in fields else _extra(kind)
        elif origin is dict:
            found += _bare(inner[1])
        elif origin is list and word.isdigit():
            found += _bare(inner[0]) if int(word) < len(here or ()) else ()
        elif origin is list:
            found += _below(list(_bare(inner[0])), word, _inside(here, "0"))
    return found


def _extra(model: type[BaseModel]) -> list[Any]:
    """A model that takes any key takes this one."""
    return [Any] if model.model_config.get("extra") == "allow" else []


def _words(kinds: Sequence[Any], here: Any) -> list[str]:
    """Words that may follow, where they can be listed."""
    found: list[str] = []
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += [field.alias or name for name, field in kind.model_fields.items()]
        elif get_origin(kind) is list:
            found += [str(k) for k in range(len(here or ()))]
            found += _words(list(_bare(get_args(kind)[0])), _inside(here, "0"))
    return list(dict.fromkeys(found))


def _inside(here: Any, word: str) -> Any:
    """The value at a word, None where there is none; of a list without a number, its first item's."""
    if isinstance(here, list):
        if word.isdigit():
            return here[int(word)] if int(word) < len(here) else None
        return _inside(here[0], word) if here else None
    return here.get(word) if isinstance(here, Mapping) else None


def value_at(resolved: Mapping[str, Any], path: str) -> Any:
    """What a setting is; None where it has no value, the first item's where a path means all of a list."""
    here: Any = resolved
    for word in path.split("."):
        here = _inside(here, word)
    return here


def put_all(settings: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Set several paths, in place: a preset before what is set within it, an outer path before an inner one."""
    for path in sorted(values, key=lambda path: (not path.endswith(".margin"), path.count("."))):
        put(settings, path, values[path])


def put(settings: dict[str, Any], path: str, value: Any) -> None:
    """Set a path to a value, in place. A preset of margin takes the place of axes written out."""
    words = path.split(".")
    if words[0] == "account" and words[-1] == "margin":
        for axis in AXES:
            _put(settings, [*words[:-1], axis], None)
    _put(settings, words, deepcopy(value))


def _put(here: Any, words: Sequence[str], value: Any) -> None:
    head, *rest = words
    if isinstance(here, list) and not head.isdigit():
        for item in here:
            _put(item, words, value)
        return
    key: Any = int(head) if isinstance(here, list) else head
    if not rest:
        here[key] = value
        return
    if isinstance(here, dict) and not isinstance(here.get(key), dict | list):
        here[key] = {}  # a section that is off by default, such as account.refill
    _put(here[key], rest, value)
