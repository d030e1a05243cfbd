"""The files of a result are what `backtest/report/README.md` says they are, to DuckDB and to pandas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import backtest

PAGE = (Path(backtest.__file__).parent / "report" / "README.md").read_text(encoding="utf-8")
KINDS = {
    "time": {"timestamp[us, tz=UTC]"}, "day": {"timestamp[us]"}, "span": {"duration[us]"}, "number": {"double"},
    "whole": {"int64", "int8"}, "text": {"string", "large_string"},
}  # fmt: skip
IN_PANDAS = {
    "time": {"datetime64[us, UTC]"}, "day": {"datetime64[us]"}, "span": {"timedelta64[us]"}, "number": {"float64"},
    "whole": {"int64", "int8"}, "text": {"str"},
}  # fmt: skip
IN_DUCKDB = {
    "time": {"TIMESTAMP WITH TIME ZONE"}, "day": {"TIMESTAMP"}, "span": {"BIGINT"}, "number": {"DOUBLE"},
    "whole": {"BIGINT", "TINYINT"}, "text": {"VARCHAR"},
}  # fmt: skip


def documented(heading: str) -> dict[str, str]:
    """Kind by column, as the page's section has them."""
    section = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert section is not None, heading
    return dict(re.findall(r"^\| `([^`]+)` \| (\w+) \|", section[1], re.MULTILINE))


FILES = re.findall(r"^### (\S+)\.parquet", PAGE, re.MULTILINE)
FIGURES = documented("Figures")


@pytest.fixture(scope="module")
def results(sample_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `results` with a run, a comparison and a sweep, of the hedged long in the squeeze of February 2024."""
    from strategies.hedged_long import HedgedLong

    folder = tmp_path_factory.mktemp("here") / "results"
    config: dict[str, Any] = {
        "name": "files",
        "data": {"store": str(sample_store), "start": "2024-02-01", "end": "2024-02-16"},
        "prices": {"gaps": "hold"}, "rules": {"outside": "nearest"},
        "account": [{"margin": "cross", "leverage": 5, "deposit": {"spot": {"ETH": 40}, "usdm": {"USDT": 20_000}}}],
        "strategy": {"class": HedgedLong, "params": {"band": 0.0}},
    }  # fmt: skip
    backtest.run(config).save(folder / "run")
    several = {**config, "account": [{"leverage": 5, "deposit": {"USDT": 20_000, "ETH": 40}}]}
    backtest.compare(several, modes=["isolated", "portfolio"]).save(folder / "compare")
    split = {"kind": "walk_forward", "train": "8d", "test": "4d"}
    tried = {"grid": {"strategy.params.hedge_share": [0.5, 1.0]}, "split": split, "curves": "1d"}
    backtest.sweep({**config, "sweep": tried}, out=folder / "sweep")
    return folder


def each_file(results: Path) -> Iterator[tuple[Path, str]]:
    """Every Parquet file, and the name of the section that describes it."""
    for path in sorted(results.rglob("*.parquet")):
        yield path, {"points": "points", "curves": "curves/part-…"}.get(path.parent.name, path.stem)


def columns_of(path: Path, section: str) -> dict[str, str]:
    """Kind by column, placeholders filled in: accounts, settings, figures."""
    columns = documented(f"{section}.parquet")
    if columns.pop("<account>", None):
        columns[path.parent.name if path.parent.parent.name == "compare" else "main"] = "number"
    if columns.pop("<setting>", None):
        columns["strategy.params.hedge_share"] = "number"
    if columns.pop("<figure>", None):
        columns |= FIGURES
    return columns


def test_every_file_has_a_section_and_every_section_a_file(results: Path) -> None:
    assert {section for _, section in each_file(results)} == set(FILES)


def test_every_column_is_described_with_its_kind_and_no_other(results: Path) -> None:
    for path, section in each_file(results):
        schema, said = pq.read_schema(path), columns_of(path, section)
        assert set(schema.names) == set(said), path
        for field in schema:
            unknown = pa.types.is_null(field.type) and section == "points"  # a figure that no point has
            assert unknown or str(field.type) in KINDS[said[field.name]], (path, field)


def test_pandas_reads_every_file(results: Path) -> None:
    for path, section in each_file(results):
        frame, said = pd.read_parquet(path), columns_of(path, section)
        for name in frame.columns:
            assert str(frame[name].dtype) in IN_PANDAS[said[name]], (path, name)


def test_duckdb_reads_every_file(results: Path) -> None:
    for path, section in each_file(results):
        said = columns_of(path, section)
        rows = duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
        assert {name: kind for name, kind, *_ in rows if kind not in IN_DUCKDB[said[name]]} == {}, path
        counted = duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall()
        assert counted == [(pq.read_metadata(path).num_rows,)]


def test_files_of_a_quiet_run_and_of_an_eventful_one_stack(results: Path) -> None:
    """The portfolio account had no incident; its empty columns of words are words all the same."""
    count = duckdb.sql(f"SELECT account, count(*) FROM '{results}/compare/*/incidents.parquet' GROUP BY 1").fetchall()
    isolated = backtest.load(results / "compare" / "isolated").incidents
    assert len(isolated) > 0 and count == [("isolated", len(isolated))]
    quiet = pq.read_schema(results / "compare" / "portfolio" / "incidents.parquet")
    assert str(quiet.field("rung").type) in KINDS["text"]


def test_every_figure_and_every_key_of_the_json_files_is_described(results: Path) -> None:
    stats = json.loads((results / "run" / "stats.json").read_text())
    assert set(stats["figures"]["main"]) == set(FIGURES)
    assert set(stats["explain"]["main"]) == set(documented("explain.parquet")) - {"time", "account"}
    comparison = json.loads((results / "compare" / "comparison.json").read_text())
    assert set(comparison["signals"]["portfolio"]) <= set(FIGURES)
    assert set(comparison["orders"]["portfolio"]) <= {*FIGURES, "First Breach"}
    for name in ("run/manifest.json", "run/stats.json", "compare/comparison.json", "sweep/sweep.json"):
        keys = json.loads((results / name).read_text())
        section = re.search(rf"`{Path(name).name}`.*?\n\n", PAGE, re.DOTALL)
        assert section is not None
        assert {key for key in keys if f"`{key}`" not in section[0]} == set(), name


# The page's SQL, as it stands


def asked(number: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    block = re.search(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    monkeypatch.chdir(folder.parent)
    duckdb.sql("SET TimeZone = 'UTC'")
    frame: pd.DataFrame = duckdb.sql(block[1].strip().split("\n\n")[number]).df()
    return frame


def test_the_first_question_finds_each_modes_lowest_ratio(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = asked(0, results, monkeypatch).set_index("account")
    for mode in ("isolated", "portfolio"):
        stats = backtest.load(results / "compare" / mode).stats
        assert rows.at[mode, "lowest"] == stats["Lowest Margin Ratio"]
        assert rows.at[mode, "at"] == stats["Lowest Margin Ratio At"]


def test_the_second_question_sums_the_funding(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, funding = asked(1, results, monkeypatch), backtest.load(results / "run").funding
    assert rows["symbol"].tolist() == ["ETH/USDT:USDT"] and rows["asset"].tolist() == ["USDT"]
    assert rows["received"].sum() == pytest.approx(funding["amount"].sum())
    assert rows["paid"].sum() == (funding["amount"] < 0).sum()


def test_the_third_question_adds_the_ledger_up_to_the_balances(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, run = asked(2, results, monkeypatch), backtest.load(results / "run")
    index = {name: rows["close"].iloc[-1] for name, rows in run.prices.groupby("name")}
    held = run.positions.iloc[-1]
    open_profit = held["contracts"] * index["ETH/USDT:USDT"] - held["cost"]
    worth = sum(rows["balance"] * rows["asset"].map(index)) + open_profit * index["USDT"]
    assert worth == pytest.approx(run.equity.iloc[-1])
    assert rows[rows["asset"] == "ETH"]["balance"].tolist() == [40.0]


def test_the_fourth_question_sets_train_beside_test(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = asked(3, results, monkeypatch)
    windows = pd.read_parquet(results / "sweep" / "windows.parquet")
    assert set(rows["part"]) == {"train", "test"}
    assert rows[rows["part"] == "test"]["windows"].sum() == len(windows)
    train = rows[rows["part"] == "train"]
    assert (train["windows"] == len(windows)).all() and len(train) == 2
