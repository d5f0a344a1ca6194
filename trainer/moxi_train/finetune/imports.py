"""Importing the training stack in less time."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept() -> Iterator[None]:
    """For imports: no garbage is collected meanwhile, nor ever looked for in what was imported.

    The stack makes 750,000 objects, and all stay. Looking through them again and again takes a
    fifth of the import's time, and a fifth of a second more where transformers begins to train.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        # At the exit they are garbage like any other: Triton complains of what is left.
        atexit.register(gc.unfreeze)
