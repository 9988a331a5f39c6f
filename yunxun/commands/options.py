"""Options in groups: a command takes dataclasses, the command line shows their fields.

Typer makes an option of each parameter, so that a command with forty options is a function with forty parameters.
Here they stand in dataclasses, each of which another function takes whole.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

Result = TypeVar("Result")


def grouped(function: Callable[..., Result]) -> Callable[..., Result]:
    """Lets a command take dataclasses: each field becomes an option of its own name, type and default."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type] = {}
    shown: list[inspect.Parameter] = []
    for name, plain in inspect.signature(function).parameters.items():
        kind = hints[name]
        if isinstance(kind, type) and is_dataclass(kind):
            groups[name] = kind
            types = get_type_hints(kind, include_extras=True)
            shown += [_parameter(field, types[field.name]) for field in fields(kind)]
        else:
            shown.append(plain.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(function)
    def wrapped(**given: Any) -> Result:
        built = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind) if field.name in given})
            for name, kind in groups.items()
        }
        return function(**built, **given)

    shown.sort(key=lambda one: one.default is not inspect.Parameter.empty)
    wrapped.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in shown}
    return wrapped


def _parameter(field: Field[Any], annotation: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
