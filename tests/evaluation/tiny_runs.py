"""Small trained runs shared by several tests."""

from pathlib import Path

from tests.trained_runs import train_once


def train(name: str, directory: Path) -> Path:
    """Trains `tiny_NAME.py` in the directory, once in this process, and returns the workdir."""
    return train_once(Path(__file__).with_name(f"tiny_{name}.py"), directory / name)
