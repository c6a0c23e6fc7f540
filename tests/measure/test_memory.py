from __future__ import annotations

from pathlib import Path

import pytest

from learn2compress.core.errors import InputError
from learn2compress.measure.memory import peak_memory_bytes


def test_a_file_takes_memory_but_not_the_library_s(models: dict[str, Path]) -> None:
    taken = peak_memory_bytes(models["uint8"])
    assert taken > 0
    assert taken < 64 << 20  # the process itself takes about 40 MB; where the peak can't be reset, code is in it


def test_a_damaged_file_is_an_input_error(models: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    path.write_bytes(models["uint8"].read_bytes()[:900])
    with pytest.raises(InputError) as caught:
        peak_memory_bytes(path)
    assert caught.value.code == "tflite.unreadable"
