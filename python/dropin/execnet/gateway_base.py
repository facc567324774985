from gangway import (  # noqa: F401
    Channel, DataFormatError, DumpError, LoadError, RemoteError, TimeoutError, dump, dumps, load, loads)
from gangway.execmodel import MAIN_THREAD_ONLY_DEADLOCK_TEXT, ExecModel, get_execmodel  # noqa: F401
from gangway.opcode import DUMPFORMAT_VERSION, opcode  # noqa: F401
from gangway.trace import fn, notrace, trace  # noqa: F401
from gangway.worker_pool import Reply, WorkerPool  # noqa: F401
