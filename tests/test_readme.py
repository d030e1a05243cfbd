"""The README is run: its config and strategy as they stand there, its figures, and every path and command it names."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.main import get_command
from typer.testing import CliRunner

import backtest
from backtest.cli import app
from backtest.report.html import words
from backtest.research.compare import Comparison, compare

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "data/README.md",
    "data/sample/README.md",
    "backtest/report/README.md",
    "backtest/research/README.md",
)


def block(language: str) -> str:
    """The README's first block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def table(first: str) -> dict[str, list[str]]:
    """The README's table whose head begins so: cells by label; the head under the empty one."""
    lines = README[README.index(f"| `{first}`: ") :].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {"": cells[0][1:], **{row[0]: row[1:] for row in cells[2:]}}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(ROOT / "configs" / "hedged_long.toml")


def test_the_config_and_the_strategy_of_the_readme_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "carry.toml").write_text(block("toml"))
    (tmp_path / "carry.py").write_text(block("python"))
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    done = CliRunner().invoke(app, ["run", "carry.toml"])
    assert done.exit_code == 0, done.output
    result = backtest.load(tmp_path / "results" / "carry")
    sizes = result.fills["contracts"].tolist()
    assert sizes[:2] == [-40.0, 40.0]  # shorts the 40 deposited coins, and drops the short when it has to pay
    assert result.stats["Funding"] > 0.0


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["orders", "signals"])
def test_the_figures_of_the_readme_are_those_of_its_command(comparison: Comparison, experiment: str) -> None:
    said, found = table(experiment), getattr(comparison, experiment)
    modes = said.pop("")
    assert said == {label: [words(found.at[label, mode]) for mode in modes] for label in said}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["isolated", "cross"])
def test_the_undecided_accounts_of_the_readme_die_within_a_day_of_it_on_the_kindest_path(
    comparison: Comparison, mode: str
) -> None:
    config = backtest.load_config(ROOT / "configs" / "hedged_long.toml")
    account = config.account[0].model_copy(update={"margin": mode})
    kind = config.execution.model_copy(update={"path": "close"})
    result = backtest.run(config.model_copy(update={"account": [account], "execution": kind}))
    assert str(result.stats["Survived"]).startswith("no: ")
    later = result.liquidations["time"].iloc[0] - comparison.runs[mode].liquidations["time"].iloc[0]
    assert pd.Timedelta(0) < later < pd.Timedelta(days=1)


@pytest.mark.parametrize("page", PAGES)
def test_every_path_a_page_links_to_is_there(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_config_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    commands = vars(get_command(app))["commands"]
    verbs = set(re.findall(r"(?:`|^)backtest ([a-z]+)\b", text, re.MULTILINE))
    data = set(re.findall(r"(?:`|^)backtest data ([a-z]+)\b", text, re.MULTILINE))
    targets = set(re.findall(r"(?:`|^)make ([a-z]+)\b", text, re.MULTILINE))
    configs = set(re.findall(r"\b(configs/\w+\.toml)", text))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert verbs <= set(commands)
    assert data <= set(vars(commands["data"])["commands"])
    assert {target for target in targets if f"\n{target}:" not in makefile} == set()
    assert {config for config in configs if not (ROOT / config).is_file()} == set()
