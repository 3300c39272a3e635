"""Fine-tuning: `python -m picogpt.finetune` and `python -m picogpt.finetune.classify`."""
