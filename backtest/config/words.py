"""How a mistake in a run's file is told: the place, the value found there, and what would do instead."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from backtest.errors import nearest


def sentence(error: Any, root: type[BaseModel]) -> str:
    """One mistake in words: where, what was found, what would do."""
    place, found, kind = _place(error["loc"]), error.get("input"), error["type"]
    if kind == "extra_forbidden":
        *table, key = error["loc"]
        return f"{place}: unknown key (value {found!r}); {nearest(str(key), _keys_at(table, root))}"
    if kind == "missing":
        return f"{place}: is missing; add it"
    if kind == "union_tag_not_found":
        return f"{place}.{_tag(error)}: is missing; add it"
    if kind == "union_tag_invalid":
        choices = re.findall(r"'([^']*)'", error["ctx"]["expected_tags"])
        return f"{place}.{_tag(error)} = {error['ctx']['tag']!r}: {nearest(error['ctx']['tag'], choices)}"
    if kind == "value_error":
        text = str(error["ctx"]["error"])
        return text if not place or text.startswith(place) else f"{place}: {text}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        told = nearest(str(found), choices)
        return f"{place} = {found!r}: {told}" + ("" if told.startswith("valid") else f" (valid: {', '.join(choices)})")
    return f"{place} = {found!r}: {_expected(kind, error['msg'])}"


def _tag(error: Any) -> str:
    """The key that says which of several tables one is."""
    return str(error["ctx"]["discriminator"]).strip("'")


def _expected(kind: str, message: str) -> str:
    words = {
        "float_type": "write a number", "int_type": "write a whole number", "bool_type": "write true or false",
        "string_type": "write text in quotes", "list_type": "write a list in [ ]", "dict_type": "write a table",
        "model_type": "write a table", "model_attributes_type": "write a table", "finite_number": "write a number",
    }  # fmt: skip
    return words.get(kind, message.replace("Input should", "must").replace("List should", "must"))


def _place(loc: tuple[str | int, ...]) -> str:
    """`account[0].leverage.default`; a key that is not a bare word stands in quotes."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in ("str", "float", "[key]"):
            text += ("." if text else "") + (part if re.fullmatch(r"[\w-]+", part) else f'"{part}"')
    return text


def _keys_at(loc: list[str | int], root: type[BaseModel]) -> list[str]:
    """Keys that the table at a place may have."""
    model = root
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:  # else a name of the author's own
            model = _table_of(model.model_fields[part].annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _table_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation such as `list[Account]` or `TopUp | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = (_table_of(part) for part in getattr(annotation, "__args__", ()))
    return next((found for found in inside if found is not None), None)
