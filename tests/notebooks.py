"""`make notebooks`: every notebook is run on a copy, and must still say, word for word, what it says in the repository.

`python -m tests.notebooks --keep` (`make outputs`) writes what they say today into the repository instead. What is kept
has no trace of the machine: no times, no ids, no widgets; figures are still pictures, for a page that runs no script.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
PATIENCE = 1800  # seconds a cell may take: the first run of all compiles the core
STILL = "import plotly.io; plotly.io.renderers['png'].width = 960"  # a picture as wide as a page of text
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Ran:
    """One notebook as it came out: its seconds, the error that stopped it, or what it says differently now."""

    path: Path
    seconds: float
    wrong: str = ""


def run(path: Path, keep: bool = False) -> Ran:
    """Run one notebook in its folder; hold it against what is kept, or keep it."""
    kept, started = nbformat.read(path, as_version=4), time.perf_counter()
    fresh = nbformat.from_dict(kept)
    try:
        execute(fresh, path.parent, still=keep)
    except CellExecutionError as error:
        return Ran(path, time.perf_counter() - started, str(error))
    clean(fresh)
    if keep:
        nbformat.write(fresh, path)
    return Ran(path, time.perf_counter() - started, "" if keep else changed(kept, fresh))


def execute(notebook: Any, folder: Path, still: bool) -> None:
    """Run all cells; figures become PNG where they are to be kept (that needs a Chromium), else plain data."""
    os.environ["PLOTLY_RENDERER"] = "png" if still else "plotly_mimetype"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3", record_timing=False, resources=where)
    with client.setup_kernel():
        if still:
            client.kc.execute(STILL, silent=True, store_history=False)
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)


def clean(notebook: Any) -> None:
    """Leave nothing of the machine: ids by place, no metadata but tags, no warnings, no widgets."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:02d}"
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
        if cell.cell_type == "code":
            cell.outputs = [_cleaned(output) for output in cell.outputs if _is_kept(output)]


def _is_kept(output: Any) -> bool:
    return WIDGET not in output.get("data", {}) and output.get("name") != "stderr"


def _cleaned(output: Any) -> Any:
    output.pop("transient", None)
    if "metadata" in output:
        output["metadata"] = {}
    return output


def texts(notebook: Any) -> list[str]:
    """What each code cell says in plain text, in however many pieces it came."""
    return ["".join(map(_text, cell.outputs)).strip() for cell in notebook.cells if cell.cell_type == "code"]


def _text(output: Any) -> str:
    return str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))


def changed(kept: Any, fresh: Any) -> str:
    """The first cell that says something else than is kept, with both; empty where all is as it was."""
    for number, (before, now) in enumerate(zip(texts(kept), texts(fresh), strict=True), 1):
        if before != now:
            return (
                f"code cell {number} says something else than is kept; if it should, `make outputs`\n"
                f"--- kept\n{before or '(nothing)'}\n--- now\n{now or '(nothing)'}"
            )
    return ""


def _told(ran: Ran) -> Ran:
    print(f"{ran.path.name:40} {ran.seconds:6.1f} s  {'WRONG' if ran.wrong else 'well'}", flush=True)
    return ran


def main() -> int:
    """Run those named, or all; 1 where one of them failed or says something else."""
    parser = argparse.ArgumentParser(prog="python -m tests.notebooks", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of their names, such as 01 (default: all)")
    parser.add_argument("--keep", action="store_true", help="write what they say into the repository")
    asked = parser.parse_args()
    paths = [p for p in sorted(FOLDER.glob("*.ipynb")) if not asked.names or any(n in p.name for n in asked.names)]
    if not paths:
        print(f"no notebook is named {' or '.join(asked.names)}; see {FOLDER.name}/", file=sys.stderr)
        return 1
    wrong = [ran for ran in (_told(run(path, asked.keep)) for path in paths) if ran.wrong]
    for ran in wrong:
        print(f"\n{ran.path.name}: {ran.wrong}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
