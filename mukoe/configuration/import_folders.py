"""Folders of the user's modules, and the modules that were imported from them.

The folder of a config file, and the current directory if it has a module that a name asks for, are
added to the import path of this process and of those that it starts. Machines that do not have the
folders get copies of the imported modules.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

_folders: list[Path] = []


def add_import_folder(folder: Path) -> None:
    """Makes the modules of a folder importable, in this process and in those that it starts."""
    folder = folder.resolve()
    if folder not in _folders:
        _folders.append(folder)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = prepend_import_folder(str(folder))


def prepend_import_folder(folder: str) -> str:
    """Returns the variable PYTHONPATH with a folder before its other ones."""
    inherited = os.environ.get("PYTHONPATH")
    return folder + (os.pathsep + inherited if inherited else "")


def add_current_folder_with(module: str) -> None:
    """Adds the current directory if it has a module that is not found elsewhere.

    Args:
      module: name of the module, with or without its packages.
    """
    top, folder = module.partition(".")[0], Path.cwd()
    if not top.isidentifier() or top in sys.modules or importlib.util.find_spec(top):
        return
    if (folder / f"{top}.py").is_file() or (folder / top).is_dir():
        add_import_folder(folder)


def copy_imported_files(folder: Path) -> None:
    """Copies the modules that were imported from the added folders; packages with all files.

    Args:
      folder: import folder of the copies, made if there are any.
    """
    for name, path in _imported_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / name)


def _imported_files() -> dict[str, Path]:
    """Returns the files of the imported modules, by their paths below the import folders."""
    files: dict[str, Path] = {}
    for name, module in list(sys.modules.items()):
        if "." in name or name == __name__.partition(".")[0]:
            continue
        for source in _sources(module):
            for folder in _folders:
                if source.parent == folder:
                    files |= {str(path.relative_to(folder)): path for path in _contents(source)}
    return files


def _sources(module: object) -> Iterator[Path]:
    """Yields the file of a module, or the folders of a package."""
    file, folders = getattr(module, "__file__", None), getattr(module, "__path__", None)
    if folders is not None:
        yield from (Path(folder).resolve() for folder in folders)
    elif file:
        yield Path(file).resolve()


def _contents(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    return [
        path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
