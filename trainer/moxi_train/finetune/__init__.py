"""Supervised fine-tuning: `python -m moxi_train.finetune.main --help`."""
