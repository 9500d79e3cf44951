"""State graphs: cyclic graphs of nodes that run in supersteps and share cells."""
