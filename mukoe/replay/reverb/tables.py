"""Tables of the Reverb server that a replay declaration describes."""

import numpy as np
import reverb
import tensorflow as tf
import tree
from dm_env import specs

from mukoe.errors import UserError
from mukoe.replay.declaration import ReplayDeclaration
from mukoe.types import Row


def online_table(declaration: ReplayDeclaration) -> str:
    """Returns the name of the table of online items."""
    return f"{declaration.table}_online"


def reanalysed_table(declaration: ReplayDeclaration) -> str:
    """Returns the name of the table of reanalysed items."""
    return f"{declaration.table}_reanalysed"


def demonstration_table(declaration: ReplayDeclaration) -> str:
    """Returns the name of the table of demonstrations."""
    return f"{declaration.table}_demonstrations"


def reanalysed_row_spec(row_spec: Row) -> Row:
    """Returns the spec of the rows of a reanalysed item.

    Its extras `item_key` and `item_probability`, the same in each row, are those of the item that
    was reanalysed.
    """
    extras = {
        **row_spec.extras,
        "item_key": specs.Array((), np.int64, "item_key"),
        "item_probability": specs.Array((), np.float32, "item_probability"),
    }
    return row_spec._replace(extras=extras)


def make_tables(
    declaration: ReplayDeclaration, row_spec: Row, num_demonstrations: int = 0
) -> list[reverb.Table]:
    """Makes the tables that the declaration describes; their items are `Row`s `[T, ...]`.

    Fresh items have a table of their own, which samples the newest first and each item once.
    It never blocks an adder: when it is full, the oldest items are removed. Reanalysed items are in
    a queue of two batches, which blocks their writers when it is full. The table of demonstrations
    allows no sample before all of them are in it.

    Args:
      declaration: declaration of the stored items and of their sampling.
      row_spec: specs of a row.
      num_demonstrations: number of items of demonstrations; 0 for no table.

    Raises:
      UserError: new items need the greatest priority of the table, which adders cannot read.
    """
    if declaration.initial_priority == "maximal":
        raise UserError(
            "replay.initial_priority=maximal needs a replay in the process of the actors: train "
            "with --layout=local or --layout=sebulba, or set it to td_error"
        )
    tables = _make_acted_tables(declaration.acted, row_spec)
    if num_demonstrations:
        demonstrations = reverb.Table(
            name=demonstration_table(declaration),
            sampler=_make_sampler(declaration),
            remover=reverb.selectors.Fifo(),
            max_size=num_demonstrations,
            rate_limiter=reverb.rate_limiters.MinSize(num_demonstrations),
            signature=_item_signature(declaration, row_spec),
        )
        tables.append(demonstrations)
    return tables


def _make_sampler(
    declaration: ReplayDeclaration,
) -> reverb.selectors.Prioritized | reverb.selectors.Uniform:
    if declaration.sampler == "prioritized":
        return reverb.selectors.Prioritized(declaration.priority_exponent)
    return reverb.selectors.Uniform()


def _make_acted_tables(declaration: ReplayDeclaration, row_spec: Row) -> list[reverb.Table]:
    """Makes the tables of the sequences of the actors."""
    if declaration.samples_per_insert is None:
        rate_limiter = reverb.rate_limiters.MinSize(declaration.min_size)
    else:
        replayed = 1 - declaration.online_items / declaration.batch_size
        rate_limiter = reverb.rate_limiters.SampleToInsertRatio(
            replayed * declaration.samples_per_insert,
            declaration.min_size,
            declaration.error_buffer,
        )

    item_signature = _item_signature(declaration, row_spec)
    table = reverb.Table(
        name=declaration.table,
        sampler=_make_sampler(declaration),
        remover=reverb.selectors.Fifo(),
        max_size=declaration.capacity,
        rate_limiter=rate_limiter,
        signature=item_signature,
    )
    if declaration.reanalysed_items:
        queue = reverb.Table.queue(
            name=reanalysed_table(declaration),
            max_size=2 * declaration.reanalysed_items,
            signature=_item_signature(declaration, reanalysed_row_spec(row_spec)),
        )
        return [table, queue]
    if not declaration.online_items:
        return [table]
    online = reverb.Table(
        name=online_table(declaration),
        sampler=reverb.selectors.Lifo(),
        remover=reverb.selectors.Fifo(),
        max_size=declaration.online_capacity,
        max_times_sampled=1,
        rate_limiter=reverb.rate_limiters.MinSize(1),
        signature=item_signature,
    )
    return [table, online]


def _item_signature(declaration: ReplayDeclaration, row_spec: Row) -> Row:
    def signature(path: tuple, spec: specs.Array) -> tf.TensorSpec:
        name = "/".join(str(part) for part in path)
        rows = declaration.item_length
        if path[0] == "observation":
            rows = declaration.observed_rows or rows
        return tf.TensorSpec((rows, *spec.shape), spec.dtype, name)

    return tree.map_structure_with_path(signature, row_spec)
