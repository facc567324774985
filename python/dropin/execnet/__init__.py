"""execnet's names, with Gangway behind them: to be put first on sys.path."""

import os
import sys

_directory = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
try:
    import gangway
except ImportError:  # only this directory is on sys.path; the package is around it
    sys.path.append(os.path.dirname(os.path.dirname(_directory)))
    import gangway

from gangway import *  # noqa: E402, F403
from gangway import __all__  # noqa: E402, F401
from gangway.worker_path import directories as _directories  # noqa: E402

if _directory not in _directories:
    _directories.insert(0, _directory)

__version__ = gangway.__version__

from . import gateway, gateway_base, gateway_bootstrap, gateway_io, multi, rsync, xspec  # noqa: E402, F401
