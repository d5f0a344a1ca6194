"""What bench/submit.ts is measured against: the same job, submitted by the SageMaker Python SDK.

python bench/submit/peer.py BUCKET ROLE IMAGE CODE ROWS
"""

import sys

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import (
    CheckpointConfig,
    Compute,
    InputData,
    OutputDataConfig,
    SourceCode,
    StoppingCondition,
)
from sagemaker.train import ModelTrainer

bucket, role, image, code, rows = sys.argv[1:]

trainer = ModelTrainer(
    sagemaker_session=Session(default_bucket=bucket),
    role=role,
    training_image=image,
    base_job_name="moxi-peer",
    source_code=SourceCode(source_dir=code, command="python3 bootstrap.py"),
    compute=Compute(instance_type="ml.g5.2xlarge", instance_count=1, volume_size_in_gb=100),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=86_400),
    checkpoint_config=CheckpointConfig(s3_uri=f"s3://{bucket}/moxi/checkpoints/peer/"),
    output_data_config=OutputDataConfig(
        s3_output_path=f"s3://{bucket}/moxi/models/checkpoints", compression_type="NONE"
    ),
)
trainer.train(
    input_data_config=[
        InputData(channel_name=side, data_source=f"{rows}/{side}.jsonl")
        for side in ("train", "eval")
    ],
    wait=False,
)
print("accepted", flush=True)
