"""A config as an editor knows it: a JSON schema, so that keys are completed, explained and checked as they are typed.

The tables, kinds and bounds are those that a config is read by; the words to every key are in `config/keys.toml`; the
venues are those there are rules of. A schema cannot say everything: what hangs on two keys at once, or on the data, is
still told when the config is read.

The first line of a file says which schema is its own (Taplo, and with it Even Better TOML for VS Code, reads it):

    #:schema ./backtest.schema.json
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import BaseModel

from backtest.config import PRESETS, RunConfig
from backtest.market.schema import INTERVALS
from backtest.venues import names

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"  # the newest that every editor understands
_TITLES = {
    "run": "A run of backtest",
    "sweep": "A sweep of backtest",
    "account": "An account for backtest margin",
}


def schema_of(kind: str = "run") -> Schema:
    """The JSON schema of a file: a "run" (which may have a `[sweep]`), a "sweep" (which must), or an "account"."""
    schema = _of_model(_root(kind))
    if kind == "sweep":
        schema["required"] = [*schema["required"], "sweep"]
    for table in _tables(schema):
        _explain(table)
        _name_choices(table)
    return {"$schema": DRAFT, **schema, "title": _TITLES[kind]}


def schema_text(kind: str = "run") -> str:
    """The schema as a file holds it."""
    return json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"


@cache
def key_words() -> dict[str, dict[str, str]]:
    """A sentence to every key, by table."""
    return tomllib.loads((files(__package__) / "keys.toml").read_text(encoding="utf-8"))


def _root(kind: str) -> type[BaseModel]:
    if kind == "account":
        from backtest.calculator.snapshot import Snapshot  # asks for the engine's tables, which take a while

        return Snapshot
    return RunConfig


def _of_model(model: type[BaseModel]) -> Schema:
    """What pydantic says of it, with its definitions where draft 7 has them."""
    schema = model.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions = dict(sorted(schema.pop("$defs", {}).items()))
    return {**schema, "definitions": definitions}


def _tables(schema: Schema) -> Iterator[Schema]:
    """Every table that has keys of its own."""
    yield from (table for table in (schema, *schema["definitions"].values()) if "properties" in table)


def _explain(table: Schema) -> None:
    """The words to its keys; beside a reference, which hides what stands beside it, the reference is set in a list."""
    words = key_words()[table["title"]]
    for key, said in table["properties"].items():
        said = _without_nothing(said)
        if isinstance(said.get("default"), dict):
            del said["default"]  # of a table, which says its own
        if "$ref" in said:
            said["allOf"] = [{"$ref": said.pop("$ref")}]
        unit = said.pop("description", "")
        table["properties"][key] = {"description": f"{words[key]} {unit}".strip(), **said}


def _without_nothing(said: Schema) -> Schema:
    """A key that may be left out is not written as nothing, which TOML has no word for; a mistake in it is then marked
    where it stands, and not at the choice between something and nothing.
    """
    said = {name: value for name, value in said.items() if name != "title" and (name, value) != ("default", None)}
    kinds = [kind for kind in said.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        return {**kinds[0], **{name: value for name, value in said.items() if name != "anyOf"}}
    return {**said, "anyOf": kinds} if kinds else said


def _name_choices(table: Schema) -> None:
    """Words that are reserved outside of the models: the venues there are rules of, the lengths of bars."""
    reserved: dict[str, dict[str, list[str]]] = {
        "Account": {"venue": names()},
        "Data": {"interval": list(INTERVALS)},
        "Snapshot": {"venue": names(), "mode": list(PRESETS)},
    }
    for key, choices in reserved.get(table["title"], {}).items():
        table["properties"][key]["enum"] = choices
