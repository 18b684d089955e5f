"""The page of all filters of one map: for each the photos that answer it best (paper, figure 2)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

GENERATOR = "sppnet filter page"


def filter_page(
    title: str,
    subtitle: str,
    photos: Sequence[tuple[str, str, tuple[int, int]]],
    groups: Mapping[str, Mapping[int, Sequence[tuple[int, float, Sequence[Sequence[float]]]]]],
    fields: Sequence[str],
) -> str:
    """An HTML page; the photos lie beside it and are loaded when they come into view.

    photos: (name, file relative to the page, (height, width)). groups: name of a group of photos ("" for all, else a
    class) -> filter -> (index of the photo, value, boxes), strongest first; boxes: x1, y1, x2, y2 in parts of the
    photo's sides, one for each of `fields`, which says what the boxes mean.
    """
    data = {
        "photos": [[name, file, round(width / height, 4)] for name, file, (height, width) in photos],
        "groups": {
            group: {
                str(channel): [
                    [index, round(value, 3), [[round(one, 4) for one in box] for box in boxes]]
                    for index, value, boxes in ranked
                ]
                for channel, ranked in filters.items()
            }
            for group, filters in groups.items()
        },
    }
    script = _asset("filters.js")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("detection.inspection"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    context: dict[str, Any] = {
        "title": title,
        "subtitle": subtitle,
        "generator": GENERATOR,
        "groups": [group for group in groups if group],
        "count": len(groups.get("", {})),
        "fields": fields,
        "style": Markup(_asset("style.css", "detection.report") + _asset("filters.css")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        # Not to be ended by a name with "</script>" in it.
        "data": Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")),
    }
    return environment.get_template("filters.html").render(context).encode("utf-8", "replace").decode()


def _asset(name: str, package: str = "detection.inspection") -> str:
    return (files(package) / "templates" / name).read_text(encoding="utf-8")
