"""Reads a training job of Moxi's by its name with the SageMaker Python SDK, as somebody else would.

python bench/submit/outsider.py JOB
"""

import json
import sys

from sagemaker.core.resources import TrainingJob

job = TrainingJob.get(training_job_name=sys.argv[1])
told = {
    "status": job.training_job_status,
    "image": job.algorithm_specification.training_image,
    "channels": {
        channel.channel_name: channel.data_source.s3_data_source.s3_uri
        for channel in job.input_data_config
    },
    "artifacts": job.model_artifacts.s3_model_artifacts,
    "checkpoints": job.checkpoint_config.s3_uri,
    "instance": job.resource_config.instance_type,
    "maxSeconds": job.stopping_condition.max_runtime_in_seconds,
}
print(json.dumps(told))
