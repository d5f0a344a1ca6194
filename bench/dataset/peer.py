"""The peer: Hugging Face `datasets` loads the file, then the format checks of OpenAI's cookbook
(Chat_finetuning_data_prep) run over its rows. `python peer.py FILE` prints rows and seconds."""

import shutil
import sys
import tempfile
import time
from collections import defaultdict

import datasets

datasets.disable_progress_bars()
cache = tempfile.mkdtemp()
start = time.perf_counter()
dataset = datasets.load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=cache)
format_errors = defaultdict(int)
rows = 0
for ex in dataset:
    rows += 1
    if not isinstance(ex, dict):
        format_errors["data_type"] += 1
        continue
    messages = ex.get("messages", None)
    if not messages:
        format_errors["missing_messages_list"] += 1
        continue
    for message in messages:
        if "role" not in message or "content" not in message:
            format_errors["message_missing_key"] += 1
        if any(k not in ("role", "content", "name", "function_call", "weight") for k in message):
            format_errors["message_unrecognized_key"] += 1
        if message.get("role", None) not in ("system", "user", "assistant", "function"):
            format_errors["unrecognized_role"] += 1
        content = message.get("content", None)
        function_call = message.get("function_call", None)
        if (not content and not function_call) or not isinstance(content, str):
            format_errors["missing_content"] += 1
    if not any(message.get("role", None) == "assistant" for message in messages):
        format_errors["example_missing_assistant_message"] += 1
print(rows, time.perf_counter() - start, dict(format_errors))
shutil.rmtree(cache, ignore_errors=True)
