"""Rules for the values of a ``config.json``: their type, their range, and words that tell a user what to write.

A config may come from an untrusted source. Every value is checked before any module is built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from evfsam.values import shown


class Rule(Protocol):
    """``accepts(value)`` tells whether a value is allowed; ``str(rule)`` describes the allowed values."""

    def accepts(self, value: Any) -> bool: ...


@dataclass(frozen=True)
class Whole:
    """An int from ``low`` to ``high``, both included; no bool and no float."""

    low: int
    high: int

    def accepts(self, value: Any) -> bool:
        return type(value) is int and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}" if self.low < self.high else str(self.low)


@dataclass(frozen=True)
class Number:
    """A finite int or float from ``low`` to ``high``, both included; no bool."""

    low: float
    high: float

    def accepts(self, value: Any) -> bool:
        return type(value) in (int, float) and math.isfinite(value) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Flag:
    """A bool; a text such as "no" is refused."""

    def accepts(self, value: Any) -> bool:
        return type(value) is bool

    def __str__(self) -> str:
        return "true or false"


@dataclass(frozen=True)
class Text:
    """A str of at most ``most`` characters that can be printed on one line."""

    most: int

    def accepts(self, value: Any) -> bool:
        return type(value) is str and len(value) <= self.most and value.isprintable()

    def __str__(self) -> str:
        return f"a text of at most {self.most} characters on one line"


@dataclass(frozen=True)
class OneOf:
    """One of a few names."""

    names: tuple[str, ...]

    def accepts(self, value: Any) -> bool:
        return type(value) is str and value in self.names

    def __str__(self) -> str:
        return f"one of {', '.join(self.names)}" if len(self.names) > 1 else self.names[0]


@dataclass(frozen=True)
class ListOf:
    """A list or tuple of ``least`` to ``most`` values that each follow ``rule``."""

    rule: Rule
    least: int
    most: int

    def accepts(self, value: Any) -> bool:
        is_list = type(value) in (list, tuple) and self.least <= len(value) <= self.most
        return is_list and all(map(self.rule.accepts, value))

    def __str__(self) -> str:
        count = self.most if self.least == self.most else f"{self.least} to {self.most}"
        return f"a list of {count} values, each {self.rule}"


def check(key: str, value: Any, rule: Rule) -> Any:
    """Returns ``value``. Raises ValueError that names key, value and rule if the rule does not accept it."""
    if not rule.accepts(value):
        raise ValueError(f"{key}: {shown(value)}; write {rule}")
    return value
