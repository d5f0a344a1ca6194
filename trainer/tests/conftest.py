"""Fixtures of the training program's tests."""

import signal

import pytest
import support  # noqa: F401  (first: it sets what libraries read when they are imported)

from moxi_train.finetune import tiny


@pytest.fixture(autouse=True, scope="session")
def smaller_toy():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "VOCABULARY", 320)
        shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
        for name, value in shape.items():
            patch.setitem(tiny.SHAPE, name, value)
        yield


@pytest.fixture(autouse=True)
def signals():
    """Runs listen to signals; the test runner wants its own back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
