"""Results page of a run from its training to its record."""

import shutil

from mukoe.evaluation.episodes import EvaluationConfig, evaluate
from mukoe.evaluation.evaluation_files import write_evaluation
from mukoe.evaluation.players import Reference, open_agent
from mukoe.observability.report.evidence import collect, read_all, write_evidence
from mukoe.observability.report.results_page import make_results
from mukoe.observability.report.runs import load_run
from tests.evaluation.tiny_runs import train


def test_a_finished_run_is_published_without_its_workdir(tmp_path, tmp_path_factory):
    trained = train("tic_tac_toe", tmp_path_factory.getbasetemp())
    workdir = tmp_path / "runs" / "tictactoe_0"
    shutil.copytree(trained, workdir, ignore=shutil.ignore_patterns("checkpoints", "evaluation*"))
    agent = open_agent(Reference(trained), simulations=0)
    evaluation = evaluate(agent, EvaluationConfig(episodes=8, num_envs=8))
    write_evaluation(evaluation, workdir)
    folder = tmp_path / "evidence" / "tictactoe_0"
    write_evidence(collect(load_run(workdir), "tictactoe_0", None), folder)
    shutil.rmtree(workdir)
    (record,) = read_all(tmp_path / "evidence")
    assert (record.group, record.environment, record.seed) == ("tictactoe", "tic_tac_toe", 0)
    assert record.config["agent.search.num_simulations"] == 2
    assert len(record.evaluations.episode_return) == 2
    assert 400 <= record.agent_steps < 408 and record.notes == ()
    assert record.cpu_hours_at_most > 0 and "jax" in record.command["versions"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 32_000
    page, figures = make_results([record], "", "figures", "evidence")
    counts = evaluation.record()
    assert f"| {counts.wins} / {counts.draws} / {counts.losses} |" in page
    assert "| 8 | 0 | random |" in page, "episodes, simulations and opponent"
    assert sorted(figures) == ["tictactoe-minutes.svg", "tictactoe-steps.svg"]
    assert str(tmp_path) not in page
