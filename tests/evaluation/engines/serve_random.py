"""Serves random play by a protocol: `serve_random.py GAME`, chess by UCI and others by GTP."""

import sys

from mukoe.environments.pgx.rules import load_rules
from mukoe.evaluation.engines.agent_game import AgentGame
from mukoe.evaluation.engines.gtp_server import GtpServer
from mukoe.evaluation.engines.uci_server import UciServer
from mukoe.evaluation.players import make_fixed_player


def make_game(name):
    return AgentGame(load_rules(name, max_steps=None), make_fixed_player("random", name, 0), seed=0)


if __name__ == "__main__":
    server = UciServer if sys.argv[1] == "chess" else GtpServer
    server(lambda: make_game(sys.argv[1])).serve(sys.stdin, sys.stdout)
