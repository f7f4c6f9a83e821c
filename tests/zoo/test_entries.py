"""Agents of the zoo: files, certificates, damage, and their names as workdirs."""

import json
import shutil
from pathlib import Path

import chex
import msgspec
import numpy as np
import pytest

import mukoe
from mukoe.commands.required_workdir import output_folder
from mukoe.commands.zoo import TABLE_END, TABLE_START
from mukoe.errors import UserError
from mukoe.evaluation.episodes import EvaluationConfig, evaluate
from mukoe.evaluation.players import Reference, open_agent, open_opponent, parse_reference
from mukoe.evaluation.zoo_export import export, markdown_table, table_rows
from mukoe.layouts.common.stored_run import open_run
from mukoe.zoo import certificates, entries, is_entry, read_parameters, resolve
from tests.programs.forked import PROGRAMS, run_program
from tests.viewing.runs import trained_run

ROOT = PROGRAMS.parent
ENTRIES = {certificate.name: certificate for certificate in certificates()}
# Agents whose evaluation takes seconds.
CHEAP = ("taxi", "tic_tac_toe")


@pytest.fixture
def copied(tmp_path):
    """Copy of an entry, for damage."""
    return shutil.copytree(resolve_name("tic_tac_toe"), tmp_path / "tic_tac_toe")


def resolve_name(name):
    return resolve(parse_reference(f"zoo:{name}").workdir)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_has_the_size_and_the_checksum_of_its_certificate(name):
    folder, certificate = resolve_name(name), ENTRIES[name]
    content = (folder / entries.PARAMETERS_FILE).read_bytes()
    assert certificate.name == folder.name == name
    assert (len(content), entries.checksum(content)) == (certificate.size, certificate.sha256)
    assert certificate.size <= entries.MAX_BYTES
    assert {path.name for path in folder.iterdir()} == {
        "certificate.json",
        "config.json",
        "parameters.npz",
    }
    assert not [part for part in certificate.argv if part.startswith("/") or "=/" in part]
    arrays = read_parameters(folder)
    assert all(array.dtype.kind in "fi" and np.isfinite(array).all() for array in arrays.values())
    assert int(arrays[".learner_steps"]) == certificate.learner_steps


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_opens_with_its_config(name):
    run = open_run(resolve_name(name))
    assert run.config.run.seed == ENTRIES[name].seed
    assert run.counts == {"actor_steps": ENTRIES[name].actor_steps}


def agrees(certificate, episodes, num_envs=32):
    """Asserts that episodes have the mean of the certificate within four standard errors."""
    run = open_agent(Reference(entries.FOLDER / certificate.name))
    found = evaluate(run, EvaluationConfig(episodes=episodes, num_envs=num_envs, seed=1))
    known = certificate.evaluation
    error = known["std"] * np.sqrt(1 / episodes + 1 / known["episodes"])
    assert abs(found.statistics.mean - known["mean"]) <= 4 * error


@pytest.mark.parametrize("name", CHEAP)
def test_an_agent_scores_as_its_certificate_says(name):
    agrees(ENTRIES[name], episodes=8, num_envs=8)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ENTRIES)
def test_every_agent_scores_as_its_certificate_says(name):
    agrees(ENTRIES[name], episodes=32)


def test_the_page_has_the_table_of_the_certificates():
    page = (ROOT / "docs" / "zoo.md").read_text()
    table = page.partition(TABLE_START)[2].partition(TABLE_END)[0]
    assert table.strip() == markdown_table(certificates()).strip()


def test_the_table_says_how_the_games_ended():
    evaluation = ENTRIES["connect_four"].evaluation
    (row,) = [row for row in table_rows(certificates()) if row[0] == "zoo:connect_four"]
    assert row[4] == "rollout, 400 simulations"
    won, drawn, lost = map(int, row[5].split(" / "))
    assert won + drawn + lost == evaluation["episodes"]
    assert (won - lost) / evaluation["episodes"] == pytest.approx(evaluation["mean"])
    assert row[3].startswith(f"{evaluation['mean']:g} [")


@pytest.mark.parametrize("position", [0, 2_000, -1])
def test_damaged_parameters_are_one_line(copied, position):
    content = bytearray((copied / "parameters.npz").read_bytes())
    content[position] ^= 1
    (copied / "parameters.npz").write_bytes(content)
    with pytest.raises(UserError, match="parameters.npz is damaged, .*: install mukoe again"):
        read_parameters(copied)


@pytest.mark.parametrize("name", ["parameters.npz", "certificate.json", "config.json"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04N."])
def test_an_empty_or_foreign_file_is_one_line(copied, name, content):
    (copied / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        open_run(copied) if name == "config.json" else read_parameters(copied)


def test_parameters_of_another_agent_are_one_line(copied):
    shutil.copy(resolve_name("taxi") / "config.json", copied)
    with pytest.raises(UserError, match="written by another agent"):
        open_run(copied)


def test_pickled_parameters_are_refused(copied):
    np.savez(copied / "parameters.npz", **{".network": np.array([{}], object)})
    content = (copied / "parameters.npz").read_bytes()
    certificate = entries.read_certificate(copied)
    changed = msgspec.structs.replace(certificate, sha256=entries.checksum(content))
    entries.write_certificate(copied, changed)
    with pytest.raises(UserError, match="parameters.npz cannot be read .*pickle"):
        read_parameters(copied)


def test_a_missing_name_gets_a_near_one():
    with pytest.raises(UserError, match="no agent 'tictactoe' in the zoo; did you mean zoo:tic_ta"):
        mukoe.load("zoo:tictactoe")
    with pytest.raises(UserError, match="no agent '' in the zoo; it holds .*cartpole, "):
        mukoe.load("zoo:")
    with pytest.raises(UserError, match="zoo:taxi holds one checkpoint: leave out --best"):
        mukoe.load("zoo:taxi", best=True)


def test_an_agent_of_the_zoo_is_an_opponent():
    config = open_run(resolve_name("tic_tac_toe")).config.environment
    player = open_opponent("zoo:tic_tac_toe", "tic_tac_toe", 2, config)
    assert player.name.startswith("tic_tac_toe@") and player.simulations == 2


def test_an_evaluation_writes_nothing_into_the_zoo():
    agent = mukoe.load("zoo:taxi")
    before = sorted(agent.run.workdir.rglob("*"))
    assert agent.evaluate(episodes=2, num_envs=2)["episodes"] == 2
    assert sorted(agent.run.workdir.rglob("*")) == before


@pytest.mark.xdist_group("trained_runs")
def test_a_run_is_exported_with_the_parameters_that_it_acts_with(tmp_path):
    workdir = trained_run("cartpole")
    config = EvaluationConfig(episodes=2, num_envs=2)
    certificate = export(open_run(workdir), "small", config, tmp_path)
    run, entry = open_run(workdir), open_run(tmp_path / "small")
    assert is_entry(tmp_path / "small") and entry.config == run.config
    chex.assert_trees_all_equal(entry.params, run.params)
    assert certificate.evaluation["episodes"] == 2 and "workdir" not in certificate.evaluation
    assert certificate.size == (tmp_path / "small" / "parameters.npz").stat().st_size
    text = (tmp_path / "small" / "certificate.json").read_text()
    assert str(workdir.parent) not in text and json.loads(text)["agent"] == "MuZero"


def test_an_export_needs_a_name_and_a_run(tmp_path):
    config, run = EvaluationConfig(episodes=2), mukoe.load("zoo:taxi").run
    with pytest.raises(UserError, match="like connect_four, not '../x'"):
        export(run, "../x", config, tmp_path)
    with pytest.raises(UserError, match="is in the zoo already"):
        export(run, "taxi_2", config, tmp_path)
    assert not list(tmp_path.iterdir())


def test_large_parameters_are_refused():
    noise = np.random.default_rng(0).random(1_000_000, np.float32)
    with pytest.raises(UserError, match=r"the parameters take 3\.\d MB, .* at most 3 MB"):
        entries.pack_parameters({"w": noise})


def test_commands_write_beside_the_caller_and_not_into_the_zoo(tmp_path):
    assert output_folder(None, Path("zoo:connect_four"), "judge") == Path("judge")
    assert output_folder(None, Path("zoo:taxi")) == Path()
    assert output_folder(None, tmp_path, "judge") == tmp_path / "judge"
    assert output_folder("here", Path("zoo:connect_four"), "judge") == Path("here")
    with pytest.raises(UserError, match="no agent 'connect' in the zoo"):
        output_folder(None, Path("zoo:connect"), "judge")


def test_the_command_lists_the_zoo_and_shows_an_agent(tmp_path):
    result = run_program("zoo.py")
    assert result.returncode == 0, result.stderr
    assert all(f"zoo:{name} " in result.stdout for name in ENTRIES)
    result = run_program("zoo.py", "--page=none.md")
    assert result.returncode == 2 and "cannot read none.md" in result.stderr
    tree = tmp_path / "tree.svg"
    result = run_program("watch.py", "--workdir=zoo:tic_tac_toe", f"--tree={tree}")
    assert result.returncode == 0, result.stderr
    assert tree.read_text().startswith("<svg")
