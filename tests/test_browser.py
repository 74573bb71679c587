"""`python -m tests.browser`, as far as one comes without a browser: what it needs is said, a failed cell is seen."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest

from . import browser, notebooks


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(shutil, "which", {}.get)
    monkeypatch.setattr(browser, "HAS_SELENIUM", False)
    monkeypatch.setattr(importlib.util, "find_spec", {}.get)

    assert browser.main([]) == 2
    assert capsys.readouterr().out.splitlines() == [
        "this needs more than the test suite:",
        "  pip install jupyterlab selenium",
        "  apt-get install chromium chromium-driver",
    ]


def test_what_a_reader_would_see_is_seen(tmp_path: Path) -> None:
    """A cell that fails, or must and does not; standard error; and what was sent to a cell that was over."""
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}
    stream = {"output_type": "stream", "name": "stdout", "text": "late"}
    view = {notebooks.WIDGET_VIEW: {"model_id": "1"}}
    widget = {"output_type": "display_data", "data": view, "metadata": {}}
    cells: list[dict[str, Any]] = [
        {"outputs": [error], "metadata": {}},
        {"outputs": [], "metadata": {}},
        {"outputs": [error], "metadata": {"tags": [notebooks.RAISES]}},
        {"outputs": [], "metadata": {"tags": [notebooks.RAISES]}},
        {"outputs": [{"output_type": "stream", "name": "stderr", "text": "oh"}], "metadata": {}},
        {"outputs": [stream], "metadata": {}},
        {"outputs": [widget], "metadata": {}},
        {"outputs": [stream], "metadata": {}, "source": "%load_ext something"},
    ]
    made = [
        {"cell_type": "code", "id": f"cell-{number}", "source": "", "execution_count": 1} | cell
        for number, cell in enumerate(cells)
    ]
    path = tmp_path / "made_up.ipynb"
    nbformat.write(nbformat.from_dict({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), path)
    committed = [nbformat.from_dict({**cell, "outputs": []}) for cell in made]
    committed[2].outputs = nbformat.from_dict([error])
    committed[6].outputs = nbformat.from_dict([widget | {"data": {**view, "text/html": "a still picture"}}])

    wrong = [
        "made_up, cell-0: an error",
        "made_up, cell-3: no error",
        "made_up, cell-4: standard error",
        "made_up, cell-5: 1 outputs",
    ]
    assert browser.failures(path, committed, run=2) == wrong
    assert browser.failures(path, committed) == [*wrong, "made_up, cell-7: 1 outputs"]
