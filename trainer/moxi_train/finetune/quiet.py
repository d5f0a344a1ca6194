"""What libraries read from the environment when they are imported."""

import os


def silence_libraries() -> None:
    """Before they are imported: none phones home, draws bars, or warns of forked tokenizers."""
    os.environ.update(
        HF_HUB_DISABLE_TELEMETRY="1",
        DO_NOT_TRACK="1",
        MLFLOW_DISABLE_TELEMETRY="true",
        WANDB_ERROR_REPORTING="false",
        GRADIO_ANALYTICS_ENABLED="False",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        HF_DATASETS_DISABLE_PROGRESS_BARS="1",
        TRANSFORMERS_VERBOSITY="error",
        TOKENIZERS_PARALLELISM="false",
    )
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
