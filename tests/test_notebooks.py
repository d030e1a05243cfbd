"""The notebooks as they are kept: every figure in their prose is one they computed or were given, cells are short, and
nothing tells of the machine they ran on. `make notebooks` runs them.
"""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.notebooks import FOLDER, WIDGET, changed, clean

ROOT = FOLDER.parent
PATHS = sorted(FOLDER.glob("*.ipynb"))
LINES, BYTES = 15, 1_500_000
NUMBER = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?<![\w.,])\d+(?:\.\d+)?")
MOMENT = re.compile(r"\b20\d\d-\d\d(?:-\d\d(?: \d\d:\d\d)?)?|\b\d\d:\d\d\b|\b20\d\d\b")
TRACE = re.compile(r"/(?:tmp|work|home|root|Users)/|\b0x[0-9a-f]{6,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-")
SMALL = 10  # whole numbers below are found as they are, larger ones may be rounded


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def cells(notebook: Any, kind: str) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def said(notebook: Any) -> str:
    """All that the notebook's outputs say in text; what stands in a picture is nothing that can be quoted."""
    found = []
    for cell in cells(notebook, "code"):
        for output in cell.outputs:
            data = output.get("data", {})
            html = unescape(re.sub(r"<style.*?</style>|<[^>]+>", " ", data.get("text/html", ""), flags=re.DOTALL))
            found += [output.get("text", ""), data.get("text/plain", ""), html]
    return "\n".join(found)


def given(notebook: Any) -> str:
    """What stands in the code: the inputs."""
    return re.sub(r"(?<=\d)_(?=\d)", "", "\n".join(cell.source for cell in cells(notebook, "code")))


def prose(notebook: Any) -> str:
    """The text of markdown cells, without what is quoted as code, addresses of links, and the numbers of lists."""
    text = "\n".join(cell.source for cell in cells(notebook, "markdown"))
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", " ", text, flags=re.DOTALL)
    return re.sub(r"(?i)notebooks? \d\d", " ", text)


def values(text: str) -> list[tuple[float, int]]:
    """Numbers of a text without their sign, and how many digits each has behind the point."""
    numbers = [each.replace(",", "") for each in NUMBER.findall(text)]
    return [(float(each), len(each.partition(".")[2])) for each in numbers]


def unfounded(notebook: Any) -> list[str]:
    """Figures of the prose that are neither in an output (rounded, or in per cent) nor in the code; times as well."""
    text, outputs, inputs = prose(notebook), said(notebook), given(notebook)
    missing = [each for each in MOMENT.findall(text) if each not in outputs + inputs]
    computed = [value for value, _ in values(outputs)]
    typed = {value for value, _ in values(inputs)} | {100 * value for value, _ in values(inputs) if value < 1}
    for value, digits in values(MOMENT.sub(" ", text)):
        half = 0.0 if digits == 0 and value < SMALL else 0.5 * 10**-digits
        near = any(abs(one - value) <= half + 1e-9 or abs(100 * one - value) <= half + 1e-9 for one in computed)
        if not near and not any(abs(one - value) < 1e-9 for one in typed):
            missing.append(f"{value:,.{digits}f}")
    return missing


def test_there_are_eight_of_them_in_the_order_in_which_they_are_read() -> None:
    assert [path.name[:3] for path in PATHS] == [f"0{number}_" for number in range(1, 9)]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_asks_a_question_first_and_says_at_the_end_what_to_try(path: Path) -> None:
    texts = cells(read(path), "markdown")
    assert texts[0].source.startswith("# ") and "**The question.**" in texts[0].source
    assert "## What to try next" in texts[-1].source


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_figure_in_the_prose_was_computed_or_given(path: Path) -> None:
    assert unfounded(read(path)) == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_cells_are_short_and_the_file_is_small(path: Path) -> None:
    long = [cell.source for cell in cells(read(path), "code") if len(cell.source.splitlines()) > LINES]
    assert long == []
    assert path.stat().st_size < BYTES


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_cell_was_run_in_order_and_none_failed(path: Path) -> None:
    code = cells(read(path), "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [output for cell in code for output in cell.outputs if output.output_type == "error"] == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_nothing_in_a_notebook_tells_of_the_machine_it_ran_on(path: Path) -> None:
    notebook = read(path)
    seen = said(notebook) + given(notebook) + prose(notebook)
    assert TRACE.findall(seen) == []
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)  # no times of execution
    assert [cell.id for cell in notebook.cells] == [f"cell-{k:02d}" for k in range(1, len(notebook.cells) + 1)]
    assert WIDGET not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_paths_that_a_notebook_names_are_there(path: Path) -> None:
    named = re.findall(r"\b(?:configs|strategies|data)/[\w./]+\w", "\n".join(c.source for c in read(path).cells))
    assert [each for each in named if not (ROOT / each).exists() and each != "data/store"] == []


def notebook(*cells: Any) -> Any:
    return nbformat.v4.new_notebook(cells=list(cells))


def ran(source: str, text: str) -> Any:
    output = nbformat.v4.new_output("execute_result", {"text/plain": text}, execution_count=1)
    return nbformat.v4.new_code_cell(source, outputs=[output], execution_count=1)


def test_a_figure_that_no_output_has_is_found_out_and_one_that_was_rounded_is_not() -> None:
    told = nbformat.v4.new_markdown_cell("Made 22,688 USD, 7.31 %, in 2023; lost 44, then 5.")
    assert unfounded(notebook(ran("fee = 5", "22687.62 0.0731"), told)) == ["2023", "44"]


def test_a_small_count_must_stand_there_as_it_is() -> None:
    told = nbformat.v4.new_markdown_cell("It was liquidated 3 times.")
    assert unfounded(notebook(ran("", "3.2"), told)) == ["3"]
    assert unfounded(notebook(ran("", "3"), told)) == []


def test_a_notebook_that_says_something_else_now_is_told_with_both() -> None:
    assert changed(notebook(ran("x", "1.00")), notebook(ran("x", "1.00"))) == ""
    told = changed(notebook(ran("x", "1.00")), notebook(ran("x", "2.00")))
    assert "code cell 1 says something else than is kept" in told
    assert "--- kept\n1.00\n--- now\n2.00" in told


def test_words_printed_in_two_pieces_are_the_same_words() -> None:
    pieces = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("refused", "\n")]
    whole = nbformat.v4.new_output("stream", name="stdout", text="refused\n")
    apart, one = (notebook(nbformat.v4.new_code_cell("x", outputs=out)) for out in (pieces, [whole]))
    assert changed(apart, one) == ""


def test_what_is_kept_has_no_widget_no_warning_and_no_time_of_execution() -> None:
    cell = ran("x", "1.00")
    cell.outputs += [
        nbformat.v4.new_output("display_data", {WIDGET: {"model_id": "5f0c"}, "text/plain": "interactive(...)"}),
        nbformat.v4.new_output("stream", name="stderr", text="warning at /tmp/x"),
    ]
    cell.metadata = {"execution": {"iopub.execute_input": "2026-01-01T00:00:00"}, "tags": ["kept"]}
    book = notebook(cell)
    clean(book)
    assert [output.data["text/plain"] for output in book.cells[0].outputs] == ["1.00"]
    assert book.cells[0].metadata == {"tags": ["kept"]}
