"""A model that gives advice beside the rules: stored, and without any effect on status, score or limit.

``model`` is None until a deployment plugs one in, such as from its settings module.
"""

from collections.abc import Callable, Mapping
from typing import Any

# Features (the inputs of an assessment) → {"probability": …, "reasons": […], "model": …} in JSON.
model: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None


def predict(features: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the model predicts; None without one."""
    return None if model is None else model(features)
