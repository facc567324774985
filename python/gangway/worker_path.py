"""What a worker of popen without python= finds on its sys.path: the package, as the controller does.

`directories` are the ones to be searched first; the drop-in directory puts itself in when it is
imported.
"""

from __future__ import annotations

import os
import site

directories = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]

# Runs on the far side. The other directories that are there keep their order.
SOURCE = """\
import sys
sys.path[:0] = [place for place in %r if place not in sys.path]
"""


def missing() -> list[str]:
    """Those that an interpreter started in this environment would not find by itself."""
    # The working directory is not ours to judge: a relative entry stays one of the worker's.
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep) + site.getsitepackages()
    if site.ENABLE_USER_SITE:
        known.append(site.getusersitepackages())
    return [place for place in directories if place not in known]
