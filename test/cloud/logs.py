"""A container's output on its way into CloudWatch Logs."""

import contextlib
import threading
import time

from botocore.exceptions import ClientError

GROUP = "/aws/sagemaker/TrainingJobs"
MAX_EVENT_BYTES = 256 * 1024 - 26  # each event counts 26 bytes more than its text
BATCH = 500


class LogStream:
    """Sends lines in batches, a while after they came. A role without the right sends none."""

    def __init__(self, client, name: str, delay: float) -> None:
        self._client, self._name, self._delay = client, name, delay
        self._lines: list[dict] = []
        self._lock = threading.Lock()
        self._made = self._denied = self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        now = int(time.time() * 1000)
        for start in range(0, max(1, len(line)), MAX_EVENT_BYTES):
            piece = line[start : start + MAX_EVENT_BYTES].decode("utf-8", "replace")
            with self._lock:
                # CloudWatch refuses an empty message; the agent sends a blank for it.
                self._lines.append({"timestamp": now, "message": piece or " "})

    def close(self) -> None:
        """Sends what is left, later than the job's own end is told, as AWS does."""
        self._closed = True

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while True:
            last = self._closed
            time.sleep(self._delay)
            self._flush()
            if last:
                return

    def _flush(self) -> None:
        while not self._denied:
            with self._lock:
                batch, self._lines = self._lines[:BATCH], self._lines[BATCH:]
            if not batch:
                return
            try:
                if not self._made:
                    self._make()
                self._client.put_log_events(
                    logGroupName=GROUP, logStreamName=self._name, logEvents=batch
                )
            except ClientError:
                self._denied = True

    def _make(self) -> None:
        exists = self._client.exceptions.ResourceAlreadyExistsException
        with contextlib.suppress(exists):
            self._client.create_log_group(logGroupName=GROUP)
        with contextlib.suppress(exists):
            self._client.create_log_stream(logGroupName=GROUP, logStreamName=self._name)
        self._made = True
