"""Knows where a node's tier is to be, by its configuration and by what another process leaves.

Must not know who reads or writes it (`node_store`).
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from edgeproxy.config.model import Config
from edgeproxy.fleet.purge_table import PurgeTable, TableDamaged
from edgeproxy.server.estate import Estate
from edgeproxy.server.node_directory import NodeDirectory, Unusable, open_lasting, open_temporary

SHARE = 4
"""Without a path, one part in so many of `cache.memory.max_size` is the node tier's, if workers share."""
LEAST = 2 * 1024 * 1024
"""Bytes below which a share is of no use: then there is no node tier."""

_log = logging.getLogger("edgeproxy.supervisor")


@dataclass(frozen=True, slots=True)
class Place:
    """The tier's directory, None for no tier, and the table of purges; `size` bytes of its map, of which
    `share` are of the workers' memory; `inherited`: another process still has the directory."""

    directory: NodeDirectory | None
    table: PurgeTable
    size: int = 0
    share: int = 0
    inherited: bool = False


def memory_share(config: Config, workers: int) -> int:
    """Bytes of the node's memory budget that its workers share in a tier without a path; 0 for none."""
    share = config.cache.memory.max_size // SHARE
    return share if workers > 1 and config.cache.disk is None and share >= LEAST else 0


def take_place(config: Config, workers: int, estate: Estate) -> Place:
    """What the other process leaves, as far as it is what is configured, else a place of one's own."""
    disk, share, tier = config.cache.disk, memory_share(config, workers), estate.tier
    size = disk.max_size if disk is not None else share
    table = None
    lasting = tier.root if tier is not None and tier.lasting else None
    if lasting == (None if disk is None else os.path.realpath(disk.path)):
        table = _inherit(estate)
        if table is not None and tier is not None and (lasting or tier.size == share):
            estate.claim_tier()
            directory = NodeDirectory(Path(tier.root), tier.lock, table, tier.lasting)
            return Place(directory, table, size, share, True)
    estate.discard_stores()
    own = table or PurgeTable.create()
    try:
        if disk is not None:
            directory = open_lasting(disk.path)
            own.close()
            return Place(directory, directory.table, size)
        if share:
            return Place(open_temporary(own, share), own, size, share)
    except Unusable as why:
        _log.error("the node tier is off: %s", why)
    return Place(None, own)


def _inherit(estate: Estate) -> PurgeTable | None:
    """The table of the process before this one, if there is one that this version can use."""
    descriptor = estate.claim_purges()
    try:
        return PurgeTable.inherit(descriptor) if descriptor >= 0 else None
    except TableDamaged as error:
        _log.warning("%s: this process begins a table of its own", error)
        os.close(descriptor)
        return None
