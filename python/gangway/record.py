"""What the far side says of itself."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

class RInfo:
    """A record: its keys are attributes."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...

    def __repr__(self) -> str:
        return "<RInfo %r>" % ", ".join("%s=%s" % item for item in sorted(vars(self).items()))
