"""programs/report.py and results.py from the command line, and the page in a real browser."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.observability.fake_runs import make_run

ROOT = Path(__file__).resolve().parent.parent.parent


def start(program, *arguments, cwd):
    return subprocess.run(
        [sys.executable, str(ROOT / "programs" / program), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.fixture
def browse(tmp_path):
    """Opens a page in headless Chromium with further arguments; returns what it prints."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--hide-scrollbars"]

    def run(page, *arguments):
        return subprocess.run(
            [*command, *arguments, page.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    return run


def picture_of(path):
    return Image.open(path).convert("RGB")


def colours_of(picture):
    return {colour for _, colour in picture.getcolors(1 << 24)}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    make_run(root / "a", seed=0)
    make_run(root / "b", seed=1)
    result = start(
        "report.py", "--workdir=a", "--workdir=b", "--smooth=3", "--output=out/r.html", cwd=root
    )
    assert (result.returncode, result.stdout) == (0, "out/r.html\n"), result.stderr
    return root / "out" / "r.html"


def test_report_is_one_file(report):
    assert [path.name for path in report.parent.iterdir()] == ["r.html"]
    assert report.read_text().startswith("<!DOCTYPE html>")


def test_a_folder_of_workdirs_is_accepted(tmp_path):
    for name in ("runs/a", "runs/group/b"):
        make_run(tmp_path / name)
    result = start("report.py", "--workdir=runs", "--workdir=runs/a", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "report.html").read_text()
    assert "runs/group/b" in page and '<p class="soft">2 runs, 1 configuration</p>' in page
    (tmp_path / "empty").mkdir()
    result = start("report.py", "--workdir=empty", cwd=tmp_path)
    assert result.stderr.startswith("error: empty holds no runs")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), "error: --workdir is missing"),
        (("--workdir=nowhere",), "error: nowhere holds no experiment"),
        (("--workdir=a", "--output=a/config.json/x.html"), "error: cannot write"),
        (("--workdir=a", "--smooth=0"), "error: flag --smooth=0"),
    ],
)
def test_mistakes_are_one_line(tmp_path, arguments, error):
    make_run(tmp_path / "a")
    result = start("report.py", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(error)
    assert result.stderr.count("\n") == 1


def test_results_are_written_where_asked(tmp_path):
    make_run(tmp_path / "runs/cartpole/0", seed=0, returns=(100.0, 480.0))
    arguments = ("--evidence=docs/evidence", "--output=docs/results.md", "--figures=docs/figures")
    result = start("results.py", "--collect=runs", *arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "docs/results.md\n"), result.stderr
    page = (tmp_path / "docs/results.md").read_text()
    assert "reached 475" in page, "Gymnasium's own threshold of CartPole-v1"
    figures = sorted(path.name for path in (tmp_path / "docs/figures").iterdir())
    assert figures == ["cartpole-minutes.svg", "cartpole-steps.svg"]
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "docs/results.md").unlink()
    result = start("results.py", *arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "docs/results.md\n"), result.stderr
    assert (tmp_path / "docs/results.md").read_text() == page, "no workdir is needed"
    make_run(tmp_path / "runs/cartpole/0", seed=0, returns=(100.0, 480.0))
    threshold = "--threshold=CartPole-v1=90"
    result = start("results.py", "--collect=runs", *arguments, threshold, cwd=tmp_path)
    assert "reached 90" in (tmp_path / "docs/results.md").read_text()
    result = start("results.py", *arguments, "--threshold=high", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "error: --threshold=high is not ENVIRONMENT=RETURN\n"


def test_page_in_a_browser(report, browse, tmp_path):
    image = tmp_path / "page.png"
    arguments = ("--window-size=1400,1200", f"--screenshot={image}")
    browse(report, *arguments)
    light = picture_of(image)
    assert light.size == (1400, 1200)
    assert light.getpixel((2, 2)) == (0xFF, 0xFF, 0xFF)
    assert (0x1F, 0x6F, 0xD0) in colours_of(light), "a line"
    browse(report, *arguments, "--blink-settings=preferredColorScheme=0")
    dark = picture_of(image)
    assert dark.getpixel((2, 2)) == (0x16, 0x18, 0x1D)
    assert (0x6A, 0xA9, 0xFF) in colours_of(dark), "the same line"


def test_page_fits_a_phone(report, browse, tmp_path):
    """A script around the page says by how much it is wider than its frame."""
    probe = tmp_path / "probe.html"
    text = json.dumps(report.read_text()).replace("</", "<\\/")
    probe.write_text(
        '<!DOCTYPE html><iframe id="f" style="width:390px;height:800px;border:0"></iframe>'
        f"<p id=w></p><script>f.srcdoc={text};f.onload=()=>{{const e=f.contentDocument."
        "documentElement;w.textContent=`${e.clientWidth} ${e.scrollWidth}`}</script>"
    )
    printed = browse(probe, "--virtual-time-budget=5000", "--dump-dom")
    assert '<p id="w">390 390</p>' in printed
