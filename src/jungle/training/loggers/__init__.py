"""Experiment loggers: W&B, TensorBoard, CSV. Start reading at `run_logger.py`."""
