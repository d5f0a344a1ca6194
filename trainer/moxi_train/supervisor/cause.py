"""Why a training failed, from how its process ended and what it printed last."""

import itertools
import signal

MAX_CAUSE = 1024  # characters, counted as SageMaker and JavaScript do: in UTF-16
TORCHRUN_FAILED = "torch.distributed.elastic.multiprocessing.errors.ChildFailedError"


def exception(output: list[str]) -> list[str]:
    """The last exception that some output tells: its own line, then the calls nearest to it."""
    for start in reversed(range(len(output))):
        if output[start].startswith("Traceback (most recent call last)"):
            after = output[start + 1 :]
            calls = list(itertools.takewhile(lambda line: line.startswith(" "), after))
            told = after[len(calls) : len(calls) + 1]
            # torchrun's own exception only says that one of its workers had one.
            if told and not told[0].startswith(TORCHRUN_FAILED):
                return told + calls[-6:]
    return []


def cause(code: int, patience: float | None, output: list[str]) -> str:
    """Why the training failed, what matters most first, in at most MAX_CAUSE characters.

    `code` is its exit code, 128 + n for signal n; `patience` the seconds that it was given to end
    in, None if nobody asked it to; `output` the last lines that it printed.
    """
    if code == 128 + signal.SIGKILL:
        how = "was killed (signal 9): most often the machine has run out of memory"
        if patience is not None:
            how = f"was killed: it did not end within {patience:g} s of being asked"
        return f"The training process {how}."
    if code > 128:
        lines = [f"The training process was ended by signal {code - 128}.", *output[-6:]]
    elif output:
        lines = [*exception(output), output[-1]]
    else:
        lines = [f"The training process ended with exit code {code} and said nothing."]
    return cut("\n".join(dict.fromkeys(lines)))


def cut(text: str) -> str:
    """The first MAX_CAUSE characters, none of them half."""
    return text.encode("utf-16-le", "replace")[: 2 * MAX_CAUSE].decode("utf-16-le", "ignore")
