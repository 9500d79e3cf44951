"""Looking at what runs: reports of statistics."""
