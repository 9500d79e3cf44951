"""Tasks, task graphs, scopes and state graphs at native speed, inside one Python process."""

from taskloom._taskloom import __version__ as __version__
