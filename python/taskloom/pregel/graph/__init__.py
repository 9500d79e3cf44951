"""Building state graphs."""

from taskloom.pregel.constants import END as END
from taskloom.pregel.constants import START as START
from taskloom.pregel.graph.message import MessagesState as MessagesState
from taskloom.pregel.graph.message import add_messages as add_messages
from taskloom.pregel.graph.state import CompiledStateGraph as CompiledStateGraph
from taskloom.pregel.graph.state import StateGraph as StateGraph
