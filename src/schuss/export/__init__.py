"""A model as others can read it: JSON in the units of the data, an ONNX graph, a scikit-learn pipeline."""

from __future__ import annotations
