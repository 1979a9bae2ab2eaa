"""Declare torchvision's compiled operators so that timm imports where torchvision has no wheel for this torch.

Model definitions never run these operators. Import this module before timm or torchvision.
"""

import torch

_OPERATORS = torch.library.Library("torchvision", "DEF")
for _schema in (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
):
    _OPERATORS.define(_schema)
