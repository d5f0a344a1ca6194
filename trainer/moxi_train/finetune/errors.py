"""The one exception that ends a run with a message for its user."""


class TrainingError(Exception):
    """A failure that a user can understand and mend.

    `code` names it for machines, the message says what happened and where, `hint` what mends it.
    """

    def __init__(self, code: str, message: str, hint: str | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}. {self.hint}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the machine refused memory, in the words of whichever library."""
    text = str(error)
    return isinstance(error, MemoryError) or any(
        words in text for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


def first_line(error: BaseException) -> str:
    """What a library says, without its explanations."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
