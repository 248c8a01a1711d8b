"""Files in the place of rclip's model, which cannot always be downloaded: of the right form, with random weights.

    python rclip_stand_ins.py FOLDER    # with rclip's Python, in which `onnx` is installed

rclip runs unchanged with them; they cost nothing, as what is measured is its dealing with files and rows.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIMENSION, SIDE, TOKENS = 512, 256, 77
FOLDER = "ViT-B-32-256-datacomp_s34b_b86k"


def weights(rows: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.random.default_rng(0).normal(size=(rows, DIMENSION)).astype(np.float32), "w")


def save(file: Path, kind: int, shape: list[int], nodes: list[onnx.NodeProto], rows: int) -> None:
    taken = helper.make_tensor_value_info("input", kind, ["N", *shape])
    given = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", DIMENSION])
    nodes = [*nodes, helper.make_node("MatMul", ["x", "w"], ["output"])]
    graph = helper.make_graph(nodes, "stand-in", [taken], [given], [weights(rows)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)


folder = Path(sys.argv[1]) / FOLDER
folder.mkdir(parents=True, exist_ok=True)
means = [helper.make_node("GlobalAveragePool", ["input"], ["m"]), helper.make_node("Flatten", ["m"], ["x"])]
save(folder / "visual.onnx", TensorProto.FLOAT, [3, SIDE, SIDE], means, 3)
numbers = [helper.make_node("Cast", ["input"], ["x"], to=TensorProto.FLOAT)]
save(folder / "textual.onnx", TensorProto.INT64, [TOKENS], numbers, TOKENS)
