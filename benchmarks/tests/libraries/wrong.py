"""A value that forgets what it was given."""


class Value:
    """Always reads 0."""

    def __init__(self, _typecode: str, _value: int) -> None: ...

    @property
    def value(self) -> int:
        """0, whatever was stored."""
        return 0
