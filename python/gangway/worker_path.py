"""What a worker of popen without python= finds on its sys.path: what the controller finds."""

from __future__ import annotations

import os
import sys

# The package's place, and the drop-in directory's, which puts itself in when it is imported. They
# come first where they are missing: something else than sys.path has found them here.
directories = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]


def places() -> list[str]:
    """sys.path as it is now, each place once. The worker looks in its working directory first, as
    `python -c` does, unless this interpreter was told not to (-P, -I). What is no str import passes
    over, too."""
    path = list(dict.fromkeys(place for place in sys.path if isinstance(place, str)))
    if "" not in path and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        path.insert(0, "")
    return [place for place in directories if place not in path] + path
