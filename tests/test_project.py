"""`backtest init`: a project that runs in place, and never writes over what is somebody's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from typer.testing import CliRunner

import backtest
from backtest.cli import app
from backtest.config.schema import schema_text
from backtest.errors import InputError
from backtest.project import make_project, next_steps


def invoke(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("somewhere") / "my-carry")


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command as it is typed, with this environment's programs first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, shell=True, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )


def test_a_project_is_laid_out_whole(project: Path) -> None:
    names = {"README.md", "config.toml", "strategy.py", "explore.ipynb", ".gitignore", "backtest.schema.json", "data"}
    assert {each.name for each in project.iterdir()} == names
    assert [each.name for each in project.parent.iterdir()] == ["my-carry"]  # and nothing beside it
    assert (project / "backtest.schema.json").read_text(encoding="utf-8") == schema_text()
    assert (project / "data/sample/binance/ETH-USDT_USDT/funding.parquet").is_file()
    for each in ("README.md", "config.toml", "explore.ipynb"):
        assert "PROJECT" not in (project / each).read_text(encoding="utf-8")
    assert backtest.load_config(project / "config.toml").name == "my-carry"


def test_the_steps_that_are_printed_work_as_they_are_pasted(tmp_path: Path) -> None:
    printed = shell("backtest init 'a.b-1'", tmp_path).stdout
    steps = printed[printed.index("Next:\n") + 6 :].splitlines()
    assert [step.strip() for step in steps] == ["cd a.b-1", "backtest run config.toml", "backtest compare config.toml"]
    done = shell(" && ".join(steps[:2]), tmp_path)
    assert done.returncode == 0, done.stderr
    shorter = (tmp_path / "a.b-1/config.toml").read_text().replace("end = 2024-12-31", "end = 2024-01-10")
    (tmp_path / "a.b-1/config.toml").write_text(shorter)
    done = shell(" && ".join([steps[0], steps[2]]), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.b-1/results/a.b-1-compare/comparison.json").is_file()
    figures = backtest.load(tmp_path / "a.b-1/results/a.b-1").stats
    # 40 ETH are short from the second week on, for funding near 0.01 % every 8 h and up to 0.1 % in the squeeze
    assert figures["Survived"] == "yes" and figures["Funding"] > 0
    assert figures["Fills"] >= 1


def test_the_commands_of_its_readme_are_there(project: Path) -> None:
    said = (project / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"`backtest ((?:data )?\w+)", said)
    assert commands == ["run", "compare", "sweep", "data sample", "data import"]
    for command in commands:
        invoke(*command.split(), "--help")
    assert len(said.splitlines()) <= 12


def test_its_notebook_runs_in_place(project: Path) -> None:
    notebook = nbformat.read(project / "explore.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(project)}}).execute()
    answers = [cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code"]
    assert all(answers[1:])  # all but the imports answer with something
    assert not any(output["output_type"] == "error" for outputs in answers for output in outputs)


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "strategy.py").write_text("years of work")
    done = CliRunner().invoke(app, ["init", str(tmp_path / "mine")])
    assert done.exit_code == 2
    assert "mine: exists and is not empty; choose another name" in done.stderr
    assert [each.read_text() for each in (tmp_path / "mine").iterdir()] == ["years of work"]


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    (tmp_path / "fresh").mkdir()
    assert (make_project(tmp_path / "fresh") / "config.toml").is_file()


@pytest.mark.parametrize(
    "name, cure",
    [("my carry", "such as 'my-carry'"), ("-x", "such as 'x'"), ("a;b", "such as 'a-b'"), ("..", "such as 'carry'")],
)
def test_a_name_that_a_shell_or_a_run_would_stumble_over_is_refused_with_a_better_one(
    tmp_path: Path, name: str, cure: str
) -> None:
    with pytest.raises(InputError, match=cure):
        make_project(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken: is no folder"):
        make_project(tmp_path / "taken")
    with pytest.raises(InputError, match="taken is a file, not a folder"):
        make_project(tmp_path / "taken" / "carry")


def test_the_folder_one_is_in_is_not_swapped_under_ones_feet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="is the folder you are in"):
        make_project(tmp_path / "here")
    with pytest.raises(InputError, match="such as"):
        make_project(".")


def test_what_is_stopped_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("backtest.market.synthetic.make_sample", full)
    done = CliRunner().invoke(app, ["init", str(tmp_path / "carry")])
    assert done.exit_code == 2
    assert "No space left on device" in done.stderr and list(tmp_path.iterdir()) == []


def test_a_place_with_a_blank_in_it_is_quoted(tmp_path: Path) -> None:
    assert next_steps(tmp_path / "my work" / "carry")[0] == f"cd '{tmp_path}/my work/carry'"


def test_json_says_where_and_what_next(tmp_path: Path) -> None:
    answer = json.loads(invoke("init", str(tmp_path / "carry"), "--json"))
    assert answer["project"] == str(tmp_path / "carry")
    assert answer["next"][1] == "backtest run config.toml"
