"""The schema that editors check a config by: it takes what the program takes, and knows every key and its word."""

from __future__ import annotations

import copy
import json
import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from typer.testing import CliRunner

from backtest.cli import app
from backtest.config import load_config
from backtest.config.schema import key_words, schema_of
from backtest.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
FILES = {"run": "backtest.schema.json", "sweep": "sweep.schema.json", "account": "account.schema.json"}
OPTIONS = {"run": [], "sweep": ["--sweep"], "account": ["--account"]}


@cache
def validator(kind: str) -> Draft7Validator:
    return Draft7Validator(schema_of(kind))


def as_json(value: Any) -> Any:
    """A TOML value as an editor hands it to a schema: dates and times are text."""
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_json(each) for each in value]
    return value.isoformat() if isinstance(value, date) else value


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = as_json(tomllib.loads(path.read_text(encoding="utf-8")))
    return found


def mistakes(config: dict[str, Any], kind: str = "run") -> list[str]:
    """Where a config breaks its schema."""
    return sorted(".".join(map(str, error.absolute_path)) for error in validator(kind).iter_errors(config))


@pytest.fixture
def hedged() -> dict[str, Any]:
    return read(ROOT / "configs" / "hedged_long.toml")


@pytest.mark.parametrize("kind", FILES)
def test_the_schema_beside_the_configs_is_the_one_that_is_made(kind: str) -> None:
    made = CliRunner().invoke(app, ["schema", *OPTIONS[kind]])
    assert made.exit_code == 0, made.output
    assert (ROOT / "configs" / FILES[kind]).read_text(encoding="utf-8") == made.stdout


@pytest.mark.parametrize("kind", FILES)
def test_the_schema_is_a_schema(kind: str) -> None:
    Draft7Validator.check_schema(schema_of(kind))
    assert "$defs" not in json.dumps(schema_of(kind))  # draft 7 has another word for it


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_names_its_schema_in_the_first_line_and_keeps_to_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    kind = next(kind for kind, name in FILES.items() if first == f"#:schema ./{name}")
    assert mistakes(read(path), kind) == []


@pytest.mark.parametrize("kind", FILES)
def test_every_key_has_a_word_and_no_word_is_left_over(kind: str) -> None:
    tables = [schema_of(kind), *schema_of(kind)["definitions"].values()]
    for table in tables:
        for key, said in table.get("properties", {}).items():
            assert said["description"].strip(), key
    named = [key for kind in FILES for key in tables_of(kind)]
    assert set(key_words()) - set(named) == set()
    for table_name, keys in tables_of(kind).items():
        assert set(key_words()[table_name]) == keys


def tables_of(kind: str) -> dict[str, set[str]]:
    """Keys by table, as pydantic names the tables."""
    from backtest.config.schema import _root

    whole = _root(kind).model_json_schema(by_alias=True)
    tables = [whole, *whole["$defs"].values()]
    return {table["title"]: set(table["properties"]) for table in tables if "properties" in table}


@pytest.mark.parametrize(
    "place, change",
    [
        ("guards", lambda run: run.update(guards={"max_utilisation": 0.7})),
        ("account.0.venue", lambda run: run["account"][0].update(venue="binanse")),
        ("account.0.margin", lambda run: run["account"][0].update(margin="portfolo")),
        ("account.0.leverage", lambda run: run["account"][0].update(leverage="5")),
        ("account.0.deposit.USDT", lambda run: run["account"][0].update(deposit={"USDT": -1})),
        ("data.start", lambda run: run["data"].update(start="1 May 2023")),
        ("data.interval", lambda run: run["data"].update(interval="2h")),
        ("execution.volume_share", lambda run: run.update(execution={"volume_share": 1.5})),
        ("strategy.class", lambda run: run["strategy"].update({"class": "hedged_long"})),
        ("", lambda run: run.pop("strategy")),
    ],
)
def test_what_the_program_would_refuse_is_marked_where_it_stands(
    hedged: dict[str, Any], place: str, change: Any
) -> None:
    broken = copy.deepcopy(hedged)
    change(broken)
    assert mistakes(broken) == [place]
    if place not in ("account.0.venue",):  # which venues there are is asked when the run starts
        with pytest.raises(InputError):
            load_config(broken)


@pytest.mark.parametrize(
    "change",
    [
        lambda run: run["account"][0].update(leverage=3),
        lambda run: run["account"][0].update(leverage={"default": 3, "ETH/USDT:USDT": 2}),
        lambda run: run["account"][0].update(margin="cross", deposit={"spot": {"ETH": 4}, "usdm": {"USDT": 1_000}}),
        lambda run: run["data"].update(start="2023-01-01T08:00:00Z"),
        lambda run: run.update(events=[{"kind": "outage", "time": "2023-05-01", "until": "2023-05-02"}]),
        lambda run: run.update(compare={"modes": ["cross", "generic tail"]}),
        lambda run: run.update(sweep={"grid": {"strategy": {"params": {"band": [0.1]}}, "account.margin": ["cross"]}}),
        lambda run: run.update(sweep={"list": [{"account": {"leverage": {"default": 3}}}]}),
        lambda run: run.update(sweep={"random": {"n": 3, "ranges": {"strategy": {"params": {"band": [0.01, 0.2]}}}}}),
        lambda run: run.update(
            sweep={"random": {"n": 3, "ranges": {"account.0.leverage.default": {"low": 2, "high": 9, "whole": True}}}}
        ),
    ],
)  # fmt: skip
def test_every_way_of_writing_that_the_program_takes_is_taken(hedged: dict[str, Any], change: Any) -> None:
    written = copy.deepcopy(hedged)
    change(written)
    load_config(written)
    assert mistakes(written) == []


def test_a_sweep_must_say_what_it_tries(hedged: dict[str, Any]) -> None:
    one, many = {"account.margin": "cross"}, {"account.margin": ["cross"]}
    assert mistakes(hedged, "sweep") == [""]
    assert mistakes({**hedged, "sweep": {"grid": many}}, "sweep") == []
    assert mistakes({**hedged, "sweep": {"grid": one}}, "sweep") == ["sweep.grid.account.margin"]


def test_the_example_account_keeps_to_its_schema() -> None:
    example = CliRunner().invoke(app, ["margin", "--example"]).stdout
    assert mistakes(as_json(tomllib.loads(example)), "account") == []
    assert mistakes({"venue": "binance", "wallets": {"USDT": "lots"}}, "account") == ["wallets.USDT"]


def test_two_kinds_of_file_at_once_are_refused() -> None:
    done = CliRunner().invoke(app, ["schema", "--sweep", "--account"])
    assert done.exit_code == 2
    assert "ask for one of them" in done.stderr
