"""XSpec: the text that says where and how a gateway is started."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class XSpec:
    """`key1=value1//key2=value2//...`, as attributes.

    A part without `=` has the value True; every other value is a string, as it was written.
    `env:NAME=value` parts go into the dict `env`. Unknown keys are kept. What was not given is
    None. Attributes may be assigned; str(), comparison and hash follow the original text only.

    Raises IndexError for an empty part, AttributeError for a key that starts with `_`,
    ValueError for a key that is given twice.
    """

    env: dict[str, Any]

    chdir: Any
    dont_write_bytecode: Any
    execmodel: Any
    id: Any
    installvia: Any
    isolated: Any
    nice: Any
    no_site: Any
    popen: Any
    python: Any
    secret_file: Any
    socket: Any
    ssh: Any
    ssh_config: Any
    unix: Any
    vagrant_ssh: Any
    via: Any

    def __init__(self, string: str) -> None:
        self._spec = string
        self.env = {}
        for part in string.split("//"):
            key, equals, text = part.partition("=")
            value = text if equals else True
            if not key:
                raise IndexError("%r: there is %s" % (string, "no key before %r" % part if part else "an empty part"))
            if key.startswith("_"):
                raise AttributeError("%r: %r is no key: they do not start with an underscore" % (string, key))
            if key.startswith("env:"):
                self.env[key[4:]] = value
            elif key in vars(self):
                raise ValueError("%r: duplicate key: %r" % (string, key))
            else:
                setattr(self, key, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return None

    def __str__(self) -> str:
        return self._spec

    def __repr__(self) -> str:
        return "<XSpec %r>" % (self._spec,)

    def __hash__(self) -> int:
        return hash(self._spec)

    def __eq__(self, other: object) -> bool:
        return self._spec == getattr(other, "_spec", None)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def _samefilesystem(self) -> bool:
        """Whether the far side sees the same files under the same relative names."""
        return self.popen is not None and self.chdir is None
