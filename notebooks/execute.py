"""Executes the notebooks and stores their outputs.

python notebooks/execute.py [NAME ...]
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
SECONDS_PER_CELL = 600


def names() -> list[str]:
    """Returns the names of the notebooks."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def execute(name: str) -> nbformat.NotebookNode:
    """Returns a notebook with its outputs, executed in an empty folder.

    Args:
      name: name of the notebook.
    """
    # The command `mukoe` is beside the interpreter.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    backend = "module://matplotlib_inline.backend_inline"
    environment = {**os.environ, "PATH": path, "MPLBACKEND": backend}
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", nbformat.NO_CONVERT)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            notebook, timeout=SECONDS_PER_CELL, resources=resources, coalesce_streams=True
        )
        client.execute(env=environment)
    for cell in notebook.cells:
        cell.metadata = {}  # times of the execution
    return notebook


def main() -> None:
    """Executes the notebooks of the command line, or all."""
    for name in sys.argv[1:] or names():
        nbformat.write(execute(name), FOLDER / f"{name}.ipynb")
        print(name)


if __name__ == "__main__":
    main()
