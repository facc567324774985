"""Can be imported where the variable is not set."""
import os

if "SHIPPED_BROKEN" in os.environ:
    raise RuntimeError("broken on import")
