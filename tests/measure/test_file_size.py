from __future__ import annotations

from pathlib import Path

import numpy as np

from learn2compress.measure.size import size_bytes, zipped_bytes


def test_zeros_zip_well_and_noise_does_not(tmp_path: Path) -> None:
    zeros, noise = tmp_path / "zeros", tmp_path / "noise"
    zeros.write_bytes(bytes(100_000))
    noise.write_bytes(np.random.default_rng(0).bytes(100_000))
    assert size_bytes(zeros) == size_bytes(noise) == 100_000
    assert zipped_bytes(zeros) < 1000
    assert 100_000 <= zipped_bytes(noise) < 101_000


def test_the_zipped_size_depends_on_the_bytes_and_not_on_the_name(tmp_path: Path) -> None:
    short, long = tmp_path / "a", tmp_path / ("b" * 100)
    for path in (short, long):
        path.write_bytes(b"content" * 1000)
    assert zipped_bytes(short) == zipped_bytes(long)
