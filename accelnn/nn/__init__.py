"""Layers with torch's names, arguments, parameter names and defaults. A layer's fields are the layer."""

from . import init
from .conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .layers import GELU, AvgPool2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential, Sigmoid, SiLU, Softmax, Tanh
from .loss import CrossEntropyLoss, MSELoss, l1_penalty, l2_penalty
from .module import Module, Parameter

__all__ = ["AvgPool2d", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
           "CrossEntropyLoss", "Dropout", "Flatten", "GELU", "Linear", "MSELoss", "MaxPool2d", "Module", "Parameter", "ReLU",
           "Sequential", "SiLU", "Sigmoid", "Softmax", "Tanh", "init", "l1_penalty", "l2_penalty"]  # fmt: skip
