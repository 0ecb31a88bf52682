"""What the validator found, in the words of somebody who edits a robot file.

A problem's path is the one in the file (``joints[2] (elbow_flex).limits.jerk``), its hint the description
of the field that stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from spinal.runtime.config.cross import did_you_mean, row_label
from spinal.runtime.config.section import CROSS_CHECK, PATTERNS
from spinal.runtime.errors import Problem

_SHOWN = 60
"""Characters of a wrong value that a message shows."""


def problems_of(error: ValidationError, raw: object, model: type[BaseModel]) -> list[Problem]:
    """Every problem of ``error``, which ``model`` raised on ``raw``."""
    problems: list[Problem] = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # counts what is left after wrong items, which have an error each
        place = _Place(model, raw)
        for part in detail["loc"]:
            place.enter(part)
        problems.extend(_problems(detail, place))
    return problems


class _Place:
    """Where an error stands: the way down through the models and, beside it, through the raw tables."""

    def __init__(self, model: type[BaseModel], raw: object) -> None:
        self.path = ""
        self.description = ""
        self.siblings: list[str] = []
        self._raw = raw
        self._type: Any = model

    def enter(self, part: int | str) -> None:
        """Goes one step down the error's location."""
        kind = _bare(self._type)
        if get_origin(kind) in (Union, UnionType):
            self._type = _tagged(kind, part)  # the tag stands in the location, and not in the file
            return
        if _is_model(kind):
            self.siblings = _keys(kind)
            field = next((f for name, f in kind.model_fields.items() if part in (name, f.alias)), None)
            self._type = field.annotation if field else None
            self.description = (field.description or "") if field else ""
        else:
            inner = get_args(kind)
            self._type = inner[0 if get_origin(kind) is tuple else -1] if inner else None
        self._extend(part)

    def keys(self) -> list[str]:
        """The keys of the table that should stand here; none when it is not a table."""
        kind = _bare(self._type)
        return _keys(kind) if _is_model(kind) else []

    def tags(self, key: str) -> list[str]:
        """The words that ``key`` may have in the union that stands here."""
        return [tag for member in get_args(_bare(self._type)) for tag in _tags(member, key)]

    def _extend(self, part: int | str) -> None:
        if isinstance(part, int):
            raw = self._raw[part] if isinstance(self._raw, list | tuple) and part < len(self._raw) else None
            self.path = row_label(self.path, part, raw)
            self._raw = raw
        elif part == "[key]":  # a key itself is wrong: the path already ends in it
            self.path += " (the name)"
        else:
            self.path = _join(self.path, part)
            self._raw = self._raw.get(part) if isinstance(self._raw, Mapping) else None


def _problems(detail: ErrorDetails, place: _Place) -> list[Problem]:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == CROSS_CHECK:
        return [
            Problem(_join(place.path, inner.path), inner.message, inner.hint) for inner in context["problems"]
        ]
    if kind == "missing":
        keys = place.keys()
        hint = f"{place.description}; it has {', '.join(keys)}" if keys else place.description
        return [Problem(place.path, "is missing", hint)]
    if kind == "extra_forbidden":
        hint = did_you_mean(str(detail["loc"][-1]), place.siblings, "the keys here are")
        return [Problem(place.path, "is not a known key", hint)]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        key = context["discriminator"].strip("'")
        words = " or ".join(f'"{word}"' for word in place.tags(key))
        if kind == "union_tag_not_found":
            return [Problem(_join(place.path, key), "is missing", f"{key} is {words}")]
        return [Problem(_join(place.path, key), f"must be {words}, and is {_shown(context['tag'])}")]
    words = _WORDS[kind](context) if kind in _WORDS else "is not a value that can stand here"
    return [Problem(place.path, f"{words}, and is {_shown(detail['input'])}", place.description)]


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda c: f"must be above {c['gt']:.12g}",
    "greater_than_equal": lambda c: f"must be at least {c['ge']:.12g}",
    "less_than": lambda c: f"must be below {c['lt']:.12g}",
    "less_than_equal": lambda c: f"must be at most {c['le']:.12g}",
    "finite_number": lambda c: "must be a finite number",
    "float_type": lambda c: "must be a number",
    "int_type": lambda c: "must be a whole number",
    "int_parsing_size": lambda c: "must be a smaller whole number",
    "int_from_float": lambda c: "must be a whole number",
    "bool_type": lambda c: "must be true or false",
    "string_type": lambda c: "must be a string in quotes",
    "string_too_short": lambda c: "must not be empty",
    "string_too_long": lambda c: f"must have at most {c['max_length']} characters",
    "string_pattern_mismatch": lambda c: PATTERNS[c["pattern"]],
    "literal_error": lambda c: f"must be {c['expected']}".replace("'", '"'),
    "model_type": lambda c: "must be a table",
    "model_attributes_type": lambda c: "must be a table",
    "mapping_type": lambda c: "must be a table",
    "dict_type": lambda c: "must be a table",
    "tuple_type": lambda c: "must be a list",
    "too_short": lambda c: f"must not have fewer than {c['min_length']}",
    "too_long": lambda c: f"must not have more than {c['max_length']}",
}


def _bare(annotation: Any) -> Any:
    """The annotation without metadata, and without None where something else may stand."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return _bare(members[0]) if len(members) == 1 else annotation
    return annotation


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _tags(member: Any, key: str) -> tuple[str, ...]:
    return get_args(member.model_fields[key].annotation) if _is_model(member) else ()


def _tagged(union: Any, tag: int | str) -> Any:
    return next((member for member in get_args(union) if tag in _tags(member, "kind")), None)


def _join(path: str, part: str) -> str:
    return f"{path}.{part}" if path and part else path or part


def _shown(value: object) -> str:
    """A value as it would stand in TOML, cut to a readable length."""
    if isinstance(value, Mapping):
        return "a table" if value else "an empty table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
