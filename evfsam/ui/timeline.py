"""How far a clip is, and scores over time, as HTML that follows the page's light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from evfsam.media.palette import colour_of, hex_of
from evfsam.ui.offer import about
from evfsam.ui.video_job import Step

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 180, 34, 22, 8


def progress_html(step: Step) -> str:
    """Frames done and time left."""
    share = step.done / step.total
    return (
        f'<div class="evf-progress" role="progressbar" aria-valuenow="{share * 100:.0f}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-label="Frames done"><span style="width: {share * 100:.1f}%"></span></div>'
        f'<p class="evf-status">{step.done} of {step.total} frames · {about(step.left_s)} left</p>'
    )


def scores_html(names: dict[int, str], times_s: Sequence[float], scores: dict[int, Sequence[float | None]]) -> str:
    """One line per object, broken where it is not visible; colours as in the rows. HTML.

    Args:
        names: object id -> phrase, in the order of the rows.
        times_s: of each frame, in seconds.
        scores: object id -> predicted IoU 0..1 a frame, None where not visible.
    """
    end = max(times_s[-1], 1e-6)
    lines = "".join(
        f'<polyline points="{points}" stroke="{hex_of(i)}"/>'
        for i, object_id in enumerate(names)
        for points in _pieces(times_s, scores[object_id], end)
    )
    grid = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH}" y1="{_y(v)}" y2="{_y(v)}"/><text x="{LEFT - 6}" y="{_y(v) + 4}">{v:g}</text>'
        for v in (0, 0.5, 1)
    )
    ticks = "".join(
        f'<text class="time" x="{_x(end * part, end):.0f}" y="{HEIGHT - 4}">{end * part:.1f} s</text>'
        for part in (0, 0.5, 1)
    )
    legend = "".join(
        f'<li><i class="swatch" style="background: rgb{colour_of(i)}"></i>{escape(name)}: '
        f"{_told(scores[object_id])}</li>"
        for i, (object_id, name) in enumerate(names.items())
    )
    return (
        f'<figure class="evf-plot"><figcaption>Score over time (predicted IoU)</figcaption>'
        f'<svg viewBox="0 0 {WIDTH + 12} {HEIGHT}" role="img" aria-label="Score over time">'
        f'<g class="grid">{grid}{ticks}</g>{lines}</svg><ul>{legend}</ul></figure>'
    )


def _told(values: Sequence[float | None]) -> str:
    seen = [value for value in values if value is not None]
    if not seen:
        return "never visible"
    return f"visible on {len(seen)} of {len(values)} frames, mean score {sum(seen) / len(seen):.2f}"


def _pieces(times_s: Sequence[float], values: Sequence[float | None], end: float) -> list[str]:
    pieces: list[list[str]] = [[]]
    for time, value in zip(times_s, values, strict=True):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{_x(time, end):.1f},{_y(value):.1f}")
    return [" ".join(piece if len(piece) > 1 else piece * 2) for piece in pieces if piece]


def _x(time: float, end: float) -> float:
    return LEFT + (WIDTH - LEFT) * time / end


def _y(value: float) -> float:
    return TOP + (HEIGHT - BOTTOM - TOP) * (1 - min(max(value, 0), 1))
