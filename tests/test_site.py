"""Documentation site: built once, with warnings as errors."""

import dataclasses
import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mukoe.configuration import load_config_file
from mukoe.configuration.fields import describe
from mukoe.configuration.help import config_fields
from mukoe.layouts.common.experiment import TrainingConfig

ROOT = Path(__file__).parents[1]
PAGES = {
    "AlphaZeroConfig": "alphazero",
    "EfficientZeroConfig": "efficientzero",
    "MuZeroConfig": "muzero",
    "MuesliConfig": "muesli",
    "PPOConfig": "ppo",
    "StochasticMuZeroConfig": "stochastic_muzero",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    target = tmp_path_factory.mktemp("site")
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={target}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return target


def text_of(page):
    """Text of a page, without tags, each run of white space as a blank."""
    text = html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))
    return " ".join(text.replace("`", "").split())


def names_of(config, prefix=""):
    """Dotted names of the fields of a configuration that are not groups."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from names_of(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def shipped_configs():
    for path in sorted((ROOT / "configs").rglob("*.py")):
        is_other = path.name.startswith(("cluster_", "sweep_"))
        config = None if is_other else load_config_file(str(path))
        if isinstance(config, TrainingConfig):
            yield config


def test_the_reference_has_every_field_with_comment_type_and_bounds(site):
    agents = {type(config.agent): config.agent for config in shipped_configs()}
    assert {kind.__name__ for kind in agents} == set(PAGES)
    pages = {
        f"reference/agents/{PAGES[kind.__name__]}.html": [("agent.", config)]
        for kind, config in agents.items()
    }
    run = next(shipped_configs())
    groups = ("run", "distributed", "sebulba")
    pages["reference/training.html"] = [(f"{name}.", getattr(run, name)) for name in groups]
    for name, configs in pages.items():
        source, text = (site / name).read_text(), text_of(site / name)
        for prefix, config in configs:
            paths = list(names_of(config))
            assert len(paths) >= 5
            for path in paths:
                assert f'id="{(prefix + path).replace(".", "-")}"' in source, (name, path)
            for path, hint, value, comment in config_fields(config, ""):
                assert " ".join(comment.replace("`", "").split()) in text, (name, path)
                if not dataclasses.is_dataclass(value):
                    assert describe(hint) in text, (name, path)


def test_the_reference_has_the_fields_of_every_environment(site):
    source = (site / "reference" / "environments.html").read_text()
    for config in shipped_configs():
        assert f">{type(config.environment).__name__}<" in source
        for path in names_of(config.environment):
            assert f'-environment-{path.replace(".", "-")}"' in source, path


def test_the_reference_has_every_flag_of_a_command(site):
    source = (site / "reference" / "commands.html").read_text()
    for path in (ROOT / "mukoe" / "commands").glob("*.py"):
        text = path.read_text()
        if "\ndef run() -> NoReturn" in text:
            for flag in re.findall(r'flags\.DEFINE_\w+\(\s*"(\w+)"', text):
                assert f'id="{path.stem}--{flag}"' in source, (path.stem, flag)


def test_a_page_loads_nothing_from_other_hosts(site):
    loaded = (
        r"""<(?:script|img|iframe|link(?! rel="canonical"))[^>]*(?:src|href)=["']?(?:https?:)?//"""
    )
    for page in site.rglob("*.html"):
        assert not re.search(loaded, page.read_text()), page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", sheet.read_text()), sheet


def test_figures_of_the_results_show_values(site):
    page = (site / "results.html").read_text()
    figures = re.findall(r'<iframe class="figure"[^>]*src="(figures/[^"]*)"', page)
    assert len(figures) > 50
    assert not re.search(r'<img[^>]*src="figures/[^"]*\.svg"', page)
    picture = (site / "figures" / "cartpole-steps.svg").read_text()
    assert re.search(
        r'class="hover[^>]*><title>cartpole, seed 5[^<]*\nagent steps [\d,]+: ', picture
    )


def test_records_are_files_and_no_pages(site):
    assert not list((site / "evidence").rglob("*.html"))
    assert 'href="evidence/cartpole_5/run.json"' in (site / "results.html").read_text()


def test_equations_are_rendered_from_files_of_the_site(site):
    page = (site / "agents.html").read_text()
    equations = re.findall(r'<div class="arithmatex">(.*?)</div>', page, re.DOTALL)
    assert len(equations) > 15
    assert all(text.strip().startswith("\\[") for text in equations)
    scripts = re.findall(r'<script src="([^"]*)"></script>', page)
    assert {"katex/katex.min.js", "javascripts/equations.js"} <= set(scripts)
    assert all((site / script).is_file() for script in scripts)
    fonts = re.findall(r"url\(([^)]*)\)", (site / "katex" / "katex.min.css").read_text())
    assert fonts and all((site / "katex" / font).is_file() for font in fonts)
