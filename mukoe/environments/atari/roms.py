"""Names of the Atari games and of their ROMs."""

import functools

from ale_py import roms

# These cartridges have no single-player mode.
_MULTIPLAYER_ROMS = frozenset({"combat", "joust", "maze_craze", "warlords"})


@functools.cache
def _rom_ids() -> dict[str, str]:
    ids = sorted(set(roms.get_all_rom_ids()) - _MULTIPLAYER_ROMS)
    return {rom.title().replace("_", ""): rom for rom in ids}


def game_names() -> list[str]:
    """Returns the names of all games, in the form of `AtariConfig.game`."""
    return list(_rom_ids())


def rom_id(game: str) -> str:
    """Returns ALE's identifier of the ROM of a game, such as ms_pacman."""
    return _rom_ids()[game]
