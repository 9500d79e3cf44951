"""Caches of nodes' results."""

from taskloom.pregel.cache.base import BaseCache as BaseCache
from taskloom.pregel.cache.memory import InMemoryCache as InMemoryCache
