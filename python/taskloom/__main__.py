"""`python -m taskloom` is the `taskloom` command."""

import sys

from taskloom.cli import main

if __name__ == "__main__":
    sys.exit(main())
