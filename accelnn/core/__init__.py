"""Tensor, tape, tracing, dispatch: what every other room of the Python side stands on."""
