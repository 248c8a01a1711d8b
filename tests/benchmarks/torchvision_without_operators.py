"""Lets torchvision from PyPI be imported beside a PyTorch built for the CPU alone; import it before torchvision.

That wheel is built for CUDA, so its compiled operators do not load, and its import fails where it describes two of
them. With those two declared the rest works, all that OpenCLIP needs of it.
"""

from importlib.metadata import version

import torch

if torch.version.cuda is None and "+" not in version("torchvision"):
    _LIBRARY = torch.library.Library("torchvision", "DEF")  # the operators last as long as this object
    for _name in ("nms", "qnms"):
        _LIBRARY.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
