"""Layers with torch's names, arguments, parameter names and defaults. A layer's fields are the layer."""

from . import init
from .layers import GELU, AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential, Sigmoid, SiLU, Softmax, Tanh
from .loss import CrossEntropyLoss, MSELoss, l1_penalty, l2_penalty
from .module import Module, Parameter
from .recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, PackedSequence, RNNCell, pack_padded_sequence, pad_packed_sequence

__all__ = ["AvgPool2d", "Conv2d", "CrossEntropyLoss", "Dropout", "Flatten", "GELU", "GRU", "GRUCell", "LSTM", "LSTMCell", "Linear", "MSELoss",
           "MaxPool2d", "Module", "PackedSequence", "Parameter", "RNN", "RNNCell", "ReLU", "Sequential", "SiLU", "Sigmoid", "Softmax", "Tanh", "init",
           "l1_penalty", "l2_penalty", "pack_padded_sequence", "pad_packed_sequence"]  # fmt: skip
