"""Where every thread of the process is: the text of a STACKS_REPLY."""
import sys

from .task import execute, rare, sources

MAX_FRAMES = 100  # of one thread, the innermost; as faulthandler


@rare
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


@rare
def stack_lines(frame):
    """Like a traceback, the innermost frame last; our own frames are left out."""
    own = execute.__code__.co_filename
    lines = []
    while frame is not None and len(lines) < MAX_FRAMES:
        code = frame.f_code
        if code.co_filename != own:
            text = source_line(code.co_filename, frame.f_lineno)
            lines.append('  File "%s", line %s, in %s\n' % (code.co_filename, frame.f_lineno, code.co_name)
                         + (text and "    %s\n" % text))
        frame = frame.f_back
    if frame is not None:
        lines.append("  ...\n")
    return lines[::-1]


@rare
def source_line(file, number):
    if file.startswith("<"):  # <remote exec>: there may have been others of this name
        return ""
    cache = getattr(sys.modules.get("linecache"), "cache", {})
    known = sources.get(file) or cache.get(file) or ()
    try:
        return known[2][number - 1].strip()
    except (IndexError, TypeError):
        return ""
