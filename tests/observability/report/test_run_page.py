"""HTML report as a browser parses it: tables, plots, no external resources."""

import html.parser
import json
import re

import numpy as np
import pytest

from mukoe.observability.report.run_page import make_page
from mukoe.observability.report.runs import load_run
from tests.observability.fake_runs import make_run, write_log

RETURNS = ((10.0, 50.0, 40.0), (20.0, 30.0, 90.0), (0.0, 10.0, 20.0), (5.0, 60.0, 70.0))

_VOID = {"meta", "rect", "line", "br"}


class Page(html.parser.HTMLParser):
    """Cells of the tables by id, texts, and every tag; raises if tags do not close."""

    def __init__(self, text):
        super().__init__()
        self.tables = {}
        self.text = ""
        self.tags = []
        self._open = []
        self._rows = None
        self.feed(text)
        self.close()
        assert self._open == [], "every tag is closed"

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows = self.tables.setdefault(attributes.get("id"), [])
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.text += data
        if "td" in self._open or "th" in self._open:
            self._rows[-1][-1] += data

    def column(self, table, name):
        head, *rows = self.tables[table]
        return [row[head.index(name)].strip() for row in rows]

    def captions(self):
        return re.findall(r"([a-z ]+) \((\w+)\)", self.text)


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    seeds = [make_run(root / f"s{i}", seed=i, returns=r) for i, r in enumerate(RETURNS)]
    return [*seeds, make_run(root / "other", num_simulations=50, returns=())]


@pytest.fixture(scope="module")
def page(workdirs):
    return Page(make_page([load_run(workdir) for workdir in workdirs]))


def test_runs_table_has_the_numbers_of_the_runs(page, workdirs):
    assert page.column("runs", "workdir") == [str(workdir) for workdir in workdirs]
    assert page.column("runs", "seed") == ["0", "1", "2", "3", "0"]
    assert page.column("runs", "agent steps") == ["3,000"] * 4 + ["100"]
    last = [f"{returns[-1]:.0f}" for returns in RETURNS]
    best = [f"{np.max(returns):.0f}" for returns in RETURNS]
    assert page.column("runs", "last evaluation") == [*last, "–"]
    assert page.column("runs", "best evaluation") == [*best, "–"]
    assert page.column("runs", "differences")[0] == "num_simulations=16"
    assert page.column("differences", "field") == ["agent.search.num_simulations"]
    assert page.tables["differences"][1][1:] == ["16"] * 4 + ["50"]


def test_node_table_has_speeds_and_shares(page, workdirs):
    assert page.column("nodes", "node")[:3] == ["actor_0", "actor_1", "learner"]
    (log,) = [log for log in load_run(workdirs[0]).logs if log.label == "actor_0"]
    speed = np.mean(log.columns["steps_per_second"])
    assert float(page.column("nodes", "steps/s")[0]) == pytest.approx(speed, rel=1e-3)
    # 3000 steps at 0.3 s each, and a learner step for every 8 of them.
    learner = page.column("nodes", "steps/s")[2]
    assert float(learner) == pytest.approx((3000 // 8 - 100 // 8) / (2900 * 0.3), rel=1e-3)
    assert page.column("nodes", "share of time")[0] == "environment 20%policy 70%other 10%"


def test_every_column_has_its_plot(page, workdirs):
    captions = set(page.captions())
    for log in load_run(workdirs[0]).logs:
        for column in log.columns:
            shown = (column.replace("_", " "), log.kind) in captions
            counted = column in (
                ["environment_frames", "actor_steps", "episodes", "learner_steps", "wall_time"]
            )
            in_bars = column.startswith("time_")
            in_learning = column == "episode_return"
            assert shown or counted or in_bars or in_learning, column
    assert ("curiosity", "learner") in captions, "unknown columns are plotted too"
    assert page.text.count("Evaluation return") == 2, "over steps and over minutes"


def test_a_run_without_actors_is_drawn_over_its_learner_steps(tmp_path, workdirs):
    offline = make_run(tmp_path / "offline", num_actors=0)
    for log in (offline / "logs").glob("*.csv"):
        head, *rows = [line.split(",") for line in log.read_text().splitlines()]
        for row in rows:
            row[head.index("actor_steps")] = ""
        log.write_text("\n".join(map(",".join, [head, *rows])))
    text = make_page([load_run(offline)])
    assert "Evaluation return <span>over learner steps" in text
    assert "loss of learner over learner steps" in text
    assert "over agent steps" not in text and "No data" not in text
    text = make_page([load_run(offline), load_run(workdirs[0])])
    for axis in ("agent steps", "learner steps", "minutes"):
        assert f"Evaluation return <span>over {axis}" in text
    assert "loss of learner over learner steps" in text, "the axis that both runs have"


def test_mean_over_seeds_is_drawn_with_its_band(workdirs):
    text = make_page([load_run(workdir) for workdir in workdirs[:4]])
    plot = text[text.index("Evaluation return") :]
    plot = plot[plot.index("<svg") : plot.index("</svg>")]
    assert plot.count('class="c0 faint"') == 4
    assert plot.count('class="c0"') == plot.count('class="band c0"') == 1
    assert "mean of 4 seeds (95% bootstrap interval of the mean)" in plot
    ticks = {
        float(label): float(y)
        for y, label in re.findall(r'y="([\d.]+)" text-anchor="end">([\d.]+)</text>', plot)
    }
    heights = [float(y) - 4 for y in ticks.values()]
    slope, offset = np.polyfit(heights, list(ticks), 1)
    line = re.search(r'class="c0" d="M([^"]+)"', plot)[1]
    drawn = [slope * float(point.split(",")[1]) + offset for point in line.split("L")]
    assert drawn[0] == pytest.approx(np.mean([r[0] for r in RETURNS]), abs=0.5)
    assert drawn[-1] == pytest.approx(np.mean([r[-1] for r in RETURNS]), abs=0.5)


def test_nothing_is_fetched(workdirs):
    text = make_page([load_run(workdir) for workdir in workdirs])
    assert "http" not in text
    assert "url(" not in text
    assert "@import" not in text
    tags = Page(text).tags
    assert {"script", "link", "iframe", "img"}.isdisjoint(tag for tag, _ in tags)
    assert all({"src", "href"}.isdisjoint(attributes) for _, attributes in tags)


def test_light_and_dark(workdirs):
    text = make_page([load_run(workdirs[0])])
    assert "prefers-color-scheme:dark" in text
    used = set(re.findall(r"var\((--\w+)\)", text))
    light, dark = text.split("prefers-color-scheme:dark")
    assert all(f"{name}:" in light and f"{name}:" in dark for name in used)


def test_same_runs_give_the_same_page(workdirs):
    runs = [load_run(workdir) for workdir in workdirs]
    assert make_page(runs) == make_page(runs)


def test_names_are_escaped(tmp_path):
    run = load_run(make_run(tmp_path / "<b>&", env='<script>"x"'))
    page = Page(make_page([run]))
    assert page.column("runs", "workdir") == [str(tmp_path / "<b>&")]
    assert "script" not in {tag for tag, _ in page.tags}


def test_run_that_only_started(tmp_path):
    workdir = make_run(tmp_path / "a")
    for path in (workdir / "logs").iterdir():
        path.unlink()
    page = Page(make_page([load_run(workdir)]))
    assert page.column("runs", "agent steps") == ["–"]
    for text in ("no learner log", "No log has losses", "No log has an episode_return"):
        assert text in page.text


def test_logs_without_steps_are_shown_over_what_they_have(tmp_path):
    workdir = make_run(tmp_path / "a")
    write_log(workdir, "inference_0", [{"batch_fill": 0.5}, {"batch_fill": 0.75}])
    (workdir / "logs" / "strange.csv").write_text("a,b\n1,2\n3,4\n")
    page = Page(make_page([load_run(workdir)]))
    assert ("batch fill", "inference") in page.captions()
    assert ("a", "strange") in page.captions()
    labels = [attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg"]
    assert "batch fill of inference over minutes" in labels


def test_failed_run_says_why(tmp_path):
    workdir = make_run(tmp_path / "a")
    (workdir / "failure.json").write_text(json.dumps({"node": "learner", "error": "boom <1>"}))
    page = Page(make_page([load_run(workdir)]))
    assert "learner: boom <1>" in page.text
    assert page.column("runs", "workdir")[0].endswith("failed")


def test_final_evaluation_is_that_of_its_file(tmp_path):
    workdir = make_run(tmp_path / "a")
    evaluation = {"mean": 487.25, "ci95": [470.0, 499.5], "std": 1, "episodes": 100}
    (workdir / "evaluation.json").write_text(json.dumps(evaluation))
    page = Page(make_page([load_run(workdir)]))
    assert page.column("runs", "final evaluation") == ["487.2 [470, 499.5]"]


def set_config(workdir, **values):
    """Sets fields of config.json, `group_field`, which the fake configuration does not have."""
    path = workdir / "config.json"
    stored = json.loads(path.read_text())
    for name, value in values.items():
        group, _, field = name.partition("_")
        stored["config"][group][field] = value
    path.write_text(json.dumps(stored))
    return workdir


def test_agents_are_named(tmp_path):
    """Also where most of the configuration differs."""
    agents = {"a": "mukoe.agents.muzero.config:MuZeroConfig", "b": "own:PPOConfig"}
    runs = []
    for name, kind in agents.items():
        workdir = make_run(tmp_path / name)
        values = {f"agent_{name}{index}": index for index in range(9)}
        runs.append(load_run(set_config(workdir, agent_class=kind, **values)))
    page = Page(make_page(runs))
    assert page.column("runs", "agent") == ["MuZero", "PPO"]
    assert "CartPole-v1: MuZero, a" in page.text and "CartPole-v1: PPO, b" in page.text
    assert not any("class" in text for text in page.column("runs", "differences"))
    assert Page(make_page([load_run(make_run(tmp_path / "c"))])).column("runs", "agent") == ["–"]


@pytest.mark.parametrize(
    "evaluation, expected",
    [
        ({"checkpoint": 375, "opponent": "random", "simulations": 16}, "7"),
        ({"checkpoint": 100}, "7learner step 100 of 375"),
        ({"opponent": "rollout"}, "7against rollout instead of random"),
        ({"simulations": 50}, "750 simulations instead of 16"),
        ({"temperature": 0.25}, "7temperature 0.25 instead of 0"),
        ({"temperature": None}, "7"),
    ],
)
def test_other_settings_of_the_final_evaluation_are_marked(tmp_path, evaluation, expected):
    workdir = set_config(make_run(tmp_path / "a"), environment_opponent="random")
    (workdir / "evaluation.json").write_text(json.dumps({"mean": 7.0, **evaluation}))
    assert Page(make_page([load_run(workdir)])).column("runs", "final evaluation") == [expected]


def test_points_show_their_values(page):
    assert "agent steps 1,000: 10" in page.text and "agent steps 3,000: 40" in page.text
    points = [a for tag, a in page.tags if tag == "circle" and "hover" in a.get("class", "")]
    assert len(points) > 100


def test_a_run_that_reached_its_target_keeps_its_final_value(tmp_path):
    """The mean would end where the first seed is solved."""
    short = set_config(make_run(tmp_path / "a", seed=0, returns=(1.0, 9.0)), run_target_return=9.0)
    long = make_run(tmp_path / "b", seed=1, returns=(1.0, 2.0, 3.0, 4.0))
    runs = [load_run(short), load_run(set_config(long, run_target_return=9.0))]
    text = make_page(runs)
    assert "mean of 2 seeds (lowest to highest seed)\nagent steps 4,000: 6.5" in text


def test_a_long_run_does_not_squeeze_the_short_ones(tmp_path):
    short = make_run(tmp_path / "a", seed=0, returns=(1.0, 9.0))
    long = make_run(tmp_path / "b", seed=1, returns=tuple(range(60)), num_simulations=50)
    text = make_page([load_run(short), load_run(long)])
    assert "agent steps (logarithmic)" in text and "minutes (logarithmic)" in text
    figure = text.partition('aria-label="episode return of evaluator over agent steps"')[2]
    points = r'class="hover c0" cx="([\d.]+)"'
    xs = [float(x) for x in re.findall(points, figure.partition("</svg>")[0])]
    assert max(xs) - min(xs) > 50, "pixels, of 340"
