"""Layers with torch's names, arguments, parameter names and defaults. A layer's fields are the layer."""

from . import init, plain
from .layers import GELU, AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential, Sigmoid, SiLU, Softmax, Tanh
from .loss import CrossEntropyLoss, MSELoss, l1_penalty, l2_penalty
from .module import Module, Parameter
from .plain import *  # noqa: F403

__all__ = ["AvgPool2d", "Conv2d", "CrossEntropyLoss", "Dropout", "Flatten", "GELU", "Linear", "MSELoss", "MaxPool2d", "Module", "Parameter", "ReLU",
           "Sequential", "SiLU", "Sigmoid", "Softmax", "Tanh", "init", "l1_penalty", "l2_penalty"]  # fmt: skip
__all__ += plain.__all__
