"""What the far side says of itself."""

from __future__ import annotations


class RInfo:
    """A record: its keys are attributes."""

    def __init__(self, **values) -> None:
        vars(self).update(values)

    def __repr__(self) -> str:
        return "<RInfo %r>" % ", ".join("%s=%s" % item for item in sorted(vars(self).items()))
