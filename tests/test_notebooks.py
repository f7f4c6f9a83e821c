"""Notebooks run from the first cell to the last, and are stored small."""

import importlib.util
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")

FOLDER = Path(__file__).parents[1] / "notebooks"
_SPEC = importlib.util.spec_from_file_location("execute_notebooks", FOLDER / "execute.py")
executor = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(executor)

# Notebooks that run in half a minute.
SHORT = ("own_environment", "what_the_search_thinks")


def stored(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", nbformat.NO_CONVERT)


def kinds(notebook):
    """Types of the outputs of each code cell."""
    return [
        [sorted(output.get("data", {"text": ""})) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in SHORT else [pytest.mark.slow])
        for name in executor.names()
    ],
)
@pytest.mark.timeout(900)
def test_a_notebook_runs_and_shows_what_is_stored(name):
    executed = executor.execute(name)
    assert kinds(executed) == kinds(stored(name))


@pytest.mark.parametrize("name", executor.names())
def test_stored_notebooks_are_small_and_hold_no_machine(name):
    notebook, text = stored(name), (FOLDER / f"{name}.ipynb").read_text()
    assert len(text) < 50_000
    assert not any(cell.metadata for cell in notebook.cells)
    assert "/tmp/" not in text and "/home/" not in text and "/root/" not in text
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert "pip install" in first.source
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs and not any(output.output_type == "error" for output in outputs)
