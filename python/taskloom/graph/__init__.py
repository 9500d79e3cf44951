"""Task graphs: nodes, what they read, in which order they must run; compiled to plans.

builder      Graph: nodes, uses of values, compile
view         a graph seen through options
adjusting    what nodes with options or access modes call in place of their function
patterns     many nodes at once: map, reduce, partition, concat, depends_on
reduction    how reduce combines many values into one
trees        nodes with one parent each, whose value flows to them
composition  a graph or plan as part of another graph
flow         branches and loops
kin          the parents and children of nodes
shapes       what graphs and views have in common
arity        which calls fit a function
edge_types   whether what a node returns fits where its value goes
pickling     graphs and plans as pickles
place        which nodes run outside the run's own loop, and how they are submitted
"""

from taskloom.graph.builder import Graph
from taskloom.graph.composition import Subgraph
from taskloom.graph.patterns import Group
from taskloom.graph.trees import Tree
from taskloom.graph.view import GraphView

__all__ = ["Graph", "GraphView", "Group", "Subgraph", "Tree"]
