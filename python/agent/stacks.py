"""Where every thread of the process is: the text of a STACKS_REPLY. Both agents use this module."""
import sys

from .task import execute, sources

MAX_FRAMES = 100  # of one thread, the innermost; as faulthandler


def stacks(heads):
    """The stacks of the threads in heads (thread identifier -> text), each under its text.

    Nothing is imported, and no file read, here: a thread that is stuck in either may be
    what somebody wants to see.
    """
    frames = sys._current_frames()
    texts = []
    for ident, head in heads.items():
        if ident in frames:
            texts.append("%s:\n%s" % (head, "".join(stack_lines(frames[ident])) or "  (waits for work)\n"))
    return "\n".join(texts)


def stack_lines(frame):
    """Like a traceback, the innermost frame last; the agent's own frames are left out."""
    own = execute.__code__.co_filename
    request = {}
    places = []
    while frame is not None:
        code = frame.f_code
        if code is execute.__code__:
            request = frame.f_locals[code.co_varnames[1]]
            break
        stage0 = code.co_filename == "<string>" and frame.f_globals.get("__name__") in ("__main__", own)
        if code.co_filename != own and not stage0:
            places.append((code.co_filename, frame.f_lineno or 0, code.co_name))
        frame = frame.f_back
    lines = ["  ...\n"] if len(places) > MAX_FRAMES else []
    for file, number, name in places[:MAX_FRAMES][::-1]:
        text = source_line(file, number, request)
        lines.append('  File "%s", line %d, in %s\n' % (file, number, name) + (text and "    %s\n" % text))
    return lines


def source_line(file, number, request):
    try:
        if request and file == (request.get("file") or "<remote exec>"):
            lines = request["source"].splitlines()
        elif file.startswith("<"):  # <remote exec>: there may have been others of this name
            return ""
        else:
            lines = (sources.get(file) or sys.modules["linecache"].cache[file])[2]
        return lines[number - 1].strip()
    except (LookupError, AttributeError, TypeError):
        return ""
