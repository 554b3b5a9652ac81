"""Writes an oracle's values as JSON, with 17 significant digits, so that a double reads back exactly."""

import json
from pathlib import Path

import numpy as np


def text(value, indent=0):
    """JSON of dictionaries, lists, arrays, numbers and strings; one line for an innermost row of numbers."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (bool, int, str)):
        return json.dumps(value)
    if isinstance(value, (float, np.floating)):
        if not np.isfinite(value):
            raise ValueError("an oracle's value is not finite")
        return format(float(value), ".17g")
    if isinstance(value, dict):
        items, brackets = [f"{json.dumps(key)}: {text(value[key], indent + 1)}" for key in value], "{}"
    else:
        items, brackets = [text(item, indent + 1) for item in value], "[]"
        if not any(isinstance(item, (dict, list, tuple, np.ndarray)) for item in value):
            return "[" + ", ".join(items) + "]"
    space = "\n" + " " * (indent + 1)
    return brackets[0] + space + ("," + space).join(items) + "\n" + " " * indent + brackets[1]


def write(script, values):
    """Writes `values` beside the script, under its name."""
    Path(script).with_suffix(".json").write_text(text(values) + "\n", encoding="ascii")
