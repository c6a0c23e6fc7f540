"""Backbones of our own, one file each."""
