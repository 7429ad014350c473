"""Quantised folders: opened where a library multiplies the weights out, so that every view has float matrices to read.

transformers does so itself for FP8 and MXFP4 while it loads (the released GPT-OSS), and bitsandbytes for a model of its
own after it. What is computed then is the dequantised model: the weights that the quantised one stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .errors import ModelError

AT_LOAD = ("fp8", "mxfp4")
"""Methods whose weights transformers multiplies out as it loads them."""
AFTERWARDS = ("bitsandbytes",)
"""Methods whose library must load the weights first."""


def quantised_by(config: Mapping[str, Any]) -> str:
    """The method that a config.json names; "" where the weights are floats."""
    given = config.get("quantization_config")
    if not given:
        return ""
    method = given.get("quant_method") if isinstance(given, Mapping) else None
    if method is None and isinstance(given, Mapping) and (given.get("load_in_4bit") or given.get("load_in_8bit")):
        return "bitsandbytes"  # as older versions of it wrote
    return str(method or "an unnamed method")


def refuse_quantised(config: Mapping[str, Any], folder: Path) -> None:
    """ModelError with what to do for a folder whose weights nothing here can multiply out."""
    method = quantised_by(config)
    if not method or method in AT_LOAD:
        return
    if method not in AFTERWARDS:
        raise ModelError(
            f"The weights in {folder} are quantised with {method}, which nothing here turns back into floats.",
            "Open the float model that it was made from.",
        )
    if find_spec(method) is None:
        raise ModelError(
            f"The weights in {folder} are quantised with {method}, which is not installed.",
            f"Run pip install {method}, or open the float model that it was made from.",
        )


def multiply_out_at_load(config: Any) -> None:
    """Tell transformers to load floats, where it can."""
    given = getattr(config, "quantization_config", None)
    if isinstance(given, dict) and given.get("quant_method") in AT_LOAD:
        given["dequantize"] = True


def multiplied_out(model: Any, config: Any, dtype: Any) -> Any:
    """The loaded model with float weights; itself where it has them. ModelError where its library cannot."""
    method = quantised_by({"quantization_config": getattr(config, "quantization_config", None)})
    if method not in AFTERWARDS:
        return model
    try:
        return model.dequantize(dtype=dtype)
    except (NotImplementedError, ImportError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{method} cannot turn these weights back into floats: {error}.",
            "Open the float model that it was made from.",
        ) from error
