"""What the README promises of `finetune`: coca-mini learns charts and shapes, with no options."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shapes_collection import write_shapes

pytestmark = pytest.mark.benchmark
MINUTES = 10


def test_finetune_without_options_learns_a_new_kind(tmp_path: Path) -> None:
    data = write_shapes(tmp_path / "shapes", 500)
    command = [sys.executable, "-m", "cocasearch", "finetune", data, "--out", tmp_path / "mine"]
    guard = os.environ.get("COCASEARCH_GUARD")  # captioned photos such as Flickr8k's dev.tsv
    started = time.monotonic()
    options = ["--model", "coca-mini", "--json", *(["--guard", guard] if guard else [])]
    run = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 60 * MINUTES
    report = json.loads(run.stdout)
    figures = {figure["figure"]: figure for figure in report["comparison"]}
    for way in ("text to image", "image to text"):
        assert figures[f"{way} recall@1"]["before"] < 0.05
        assert figures[f"{way} recall@1"]["after"] > 0.8
    assert figures["caption word for word"]["after"] >= 0.8
    assert report["after"]["captions"]["distinct"] >= 50
    if guard:
        curve = {point["keep"]: point for point in report["curve"]}
        kept, untouched = curve[report["suggested_keep"]], curve[1.0]
        for way in ("text_to_image", "image_to_text"):
            assert kept["held_out"][way]["recall@1"] > 0.5
            assert kept["guard"][way]["recall@10"] > untouched["guard"][way]["recall@10"] - 0.03
