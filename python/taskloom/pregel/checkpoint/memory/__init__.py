"""Checkpoints in this process's memory."""

from taskloom.pregel.checkpoint.memory.saver import InMemorySaver as InMemorySaver
from taskloom.pregel.checkpoint.memory.saver import MemorySaver as MemorySaver
