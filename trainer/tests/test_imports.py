"""What is imported for good is kept from the garbage collector, and given back at the exit."""

import gc
import subprocess
import sys

import pytest

from moxi_train.finetune import imports

CYCLE = """
from moxi_train.finetune import imports

class Cycle:
    def __init__(self):
        self.itself = self

    def __del__(self):
        print("collected", flush=True)

with imports.kept():
    Cycle()
print("running", flush=True)
import gc
gc.collect()
print("ending", flush=True)
"""


def test_what_was_imported_is_not_looked_through_until_the_exit():
    told = subprocess.run([sys.executable, "-c", CYCLE], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["running", "ending", "collected"]


def test_garbage_is_collected_again_even_after_an_import_that_fails():
    with pytest.raises(ImportError), imports.kept():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
