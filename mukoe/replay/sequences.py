"""Slicing of the rows of episodes into items, for every replay.

The time line of one episode of `L` actions in one stream, here with `L = 4`, history
`H = 2` and items of `S = 3` rows (digits are `t`, the steps of the episode):

    stored rows      _ _ 0 1 2 3 F _        _  padding: zeros, mask 0
    mask             0 0 1 1 1 1 0 0        F  final row: the last observation and the
                                               policy's extras there, mask 0
    item of t = 0    _ _ 0 1 2
    item of t = 1      _ 0 1 2 3            added as soon as row t + S - 1 is complete
    item of t = 2        0 1 2 3 F          added at the end of the episode
    item of t = 3          1 2 3 F _        added at the end of the episode

Each `t` in `0 .. L-1` starts exactly one item of `H + S` rows, `t - H .. t + S - 1`,
however short the episode; with a period `P`, each `t` that is a multiple of `P`. The first
`H` rows serve only to stack frames; row `H` of an item is its step `t`. There are `H`
padding rows before the episode and `S - 2` after its final row (the item of the last action
holds that action and the final row already). Every row is stored once, whatever the number
of items that contain it.
"""

from typing import Generic, TypeVar

from mukoe.replay.declaration import ReplayDeclaration

StoredRow = TypeVar("StoredRow")


class ItemSlicer(Generic[StoredRow]):
    """Slices one stream of rows into items; a row is whatever an adder stores it by.

    rows: the last rows of the episode and its padding, at most `H + S`; an item if `ends_item`.
    appended: number of rows appended in this episode, the padding before it excluded.
    """

    def __init__(self, declaration: ReplayDeclaration):
        """Builds the slicer; no episode runs.

        Args:
          declaration: declaration of the items: their length, history and period.
        """
        self._sequence_length = declaration.sequence_length
        self._item_length = declaration.item_length
        self._period = declaration.period
        self.padding_before = declaration.history
        self.padding_after = declaration.sequence_length - 2
        self.rows: list[StoredRow] = []
        self.appended = 0

    def begin(self, padding: StoredRow) -> None:
        """Begins an episode with `padding_before` rows of padding."""
        self.rows = [padding] * self.padding_before
        self.appended = 0

    def append(self, row: StoredRow) -> StoredRow | None:
        """Appends the next row of the episode.

        After the final row `padding_after` rows of padding follow.

        Returns:
          The oldest row, which no later item contains, or None if there are fewer than `H + S`.
        """
        self.rows.append(row)
        self.appended += 1
        return self.rows.pop(0) if len(self.rows) > self._item_length else None

    @property
    def ends_item(self) -> bool:
        """Returns whether the last appended row completes an item, whose rows are `rows`."""
        start = self.appended - self._sequence_length
        return start >= 0 and start % self._period == 0
