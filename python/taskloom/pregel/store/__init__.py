"""Long-term memory beside the state of threads: values by namespace and key."""

from taskloom.pregel.store.base import BaseStore as BaseStore
from taskloom.pregel.store.base import Item as Item
from taskloom.pregel.store.base import SearchItem as SearchItem
from taskloom.pregel.store.memory import InMemoryStore as InMemoryStore
