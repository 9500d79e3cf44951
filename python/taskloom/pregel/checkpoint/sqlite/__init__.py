"""Checkpoints in one SQLite file: the saver for one machine, from the standard library alone."""

from taskloom.pregel.checkpoint.sqlite.saver import SqliteSaver

__all__ = ["SqliteSaver"]
