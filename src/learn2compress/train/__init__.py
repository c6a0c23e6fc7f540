"""Soft labels, joint training and quantization-aware training."""
