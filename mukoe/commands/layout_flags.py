"""Checks that the flags of a command fit its layout and runtime."""

from collections.abc import Iterable

from absl import flags

from mukoe.errors import UserError

_DISTRIBUTED = (
    "lp_launch_type",
    "num_actors",
    "num_reanalysers",
    "num_replays",
    "num_learners",
    "inference",
    "runtime",
    "launcher",
)
_RAY = ("ray_address",)
_VERTEX = ("dry_run", "gcp_project", "gcp_service_account", "gcp_location")
_RAY_OR_VERTEX = ("cluster",)


def check_layout_flags(values: flags.FlagValues, layout: str, overrides: Iterable[str]) -> None:
    """Checks that each given flag has an effect in the layout and runtime.

    Args:
      values: flags of a program that trains.
      layout: 'local', 'sebulba' or 'distributed'.
      overrides: dotted fields given as `--config.FIELD`.

    Raises:
      UserError: a flag has no effect; the message names the missing flag.
    """
    for group in ("sebulba", "distributed"):
        if layout != group:
            fields = [f"config.{field}" for field in overrides if field.startswith(f"{group}.")]
            _refuse(fields, f"--layout={group}", layout)
    if layout != "distributed":
        given = _given(values, (*_DISTRIBUTED, *_RAY, *_VERTEX, *_RAY_OR_VERTEX))
        _refuse(given, "--layout=distributed", layout)
        return
    on_ray = values.launcher == "ray"
    on_vertex = not on_ray and values.lp_launch_type == "vertex_ai"
    ray, vertex = "--launcher=ray", "--lp_launch_type=vertex_ai"
    if not on_ray:
        _refuse(_given(values, _RAY), ray)
    if not on_vertex:
        _refuse(_given(values, _VERTEX), vertex)
    if not on_ray and not on_vertex:
        _refuse(_given(values, _RAY_OR_VERTEX), f"{ray} or {vertex}")


def check_offline(sources: str, layout: str, resumes: bool, stored: str | None) -> None:
    """Checks that the data of a run without actors fit its layout and the run to resume.

    Args:
      sources: sources of --offline, with absolute paths.
      layout: 'local', 'sebulba' or 'distributed'.
      resumes: True if a run is resumed.
      stored: --offline of the run that is resumed; None for a run with actors.

    Raises:
      UserError: the layout is not 'local', or the run to resume has other data.
    """
    if layout != "local":
        raise UserError(
            f"--offline is for --layout=local, not --layout={layout}: set --layout=local, or leave "
            "--offline out"
        )
    if resumes and stored != sources:
        learns = "from its actors" if stored is None else f"from {stored}"
        raise UserError(
            f"the run to resume learns {learns}: leave --offline out, or start a run in another "
            "--workdir"
        )


def check_demonstrations(
    sources: str, layout: str, offline: str | None, resumes: bool, stored: str | None
) -> None:
    """Checks that the demonstrations of a run fit its layout and the run to resume.

    Args:
      sources: sources of --demonstrations, with absolute paths.
      layout: 'local', 'sebulba' or 'distributed'.
      offline: value of --offline; None for a run with actors.
      resumes: True if a run is resumed.
      stored: --demonstrations of the run that is resumed; None for a run without.

    Raises:
      UserError: the layout is 'sebulba', there are no actors, or the run to resume has other
        demonstrations.
    """
    if offline is not None:
        raise UserError(
            "--demonstrations are for a run with actors, and --offline has none: give one of them"
        )
    if layout == "sebulba":
        raise UserError(
            "--demonstrations is for --layout=local or --layout=distributed, not --layout=sebulba"
        )
    if resumes and stored != sources:
        has = "no demonstrations" if stored is None else f"demonstrations of {stored}"
        raise UserError(
            f"the run to resume has {has}: leave --demonstrations out, or start a run in another "
            "--workdir"
        )


def _given(values: flags.FlagValues, names: Iterable[str]) -> list[str]:
    return [name for name in names if not values[name].using_default_value]


def _refuse(names: list[str], missing: str, layout: str | None = None) -> None:
    if names:
        given = " and ".join(f"--{name}" for name in names)
        verb = "is" if len(names) == 1 else "are"
        other = "" if layout is None else f", not --layout={layout}"
        pronoun = "it" if len(names) == 1 else "them"
        raise UserError(
            f"{given} {verb} for {missing}{other}: add {missing}, or leave {pronoun} out"
        )
