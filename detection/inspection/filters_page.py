"""The page of all filters of one map: for each the photos that excite it most (paper, figure 2)."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from detection.inspection.filters import ALL
from detection.inspection.responses import RankedPhoto
from detection.report.page import asset, render

GENERATOR = "sppnet filter page"
_PACKAGE = "detection.inspection"


def filter_page(
    title: str,
    subtitle: str,
    photos: Mapping[str, tuple[str, tuple[int, int]]],
    groups: Mapping[str, Mapping[int, Sequence[RankedPhoto]]],
    fields: Sequence[str],
) -> str:
    """An HTML page; the photos lie next to it and are loaded when they come into view.

    photos: image id -> (file relative to the page, (height, width)). groups: name of a group of photos (ALL, or a
    class) -> filter -> its photos, strongest first. fields: says what each of a photo's boxes means.
    """
    places = {image_id: place for place, image_id in enumerate(photos)}

    def plain(one: RankedPhoto) -> list:
        return [places[one.image_id], round(one.value, 3), np.float64(one.boxes).round(4).tolist()]

    data = {
        "photos": [[name, file, round(width / height, 4)] for name, (file, (height, width)) in photos.items()],
        "groups": {
            group: {str(channel): [plain(one) for one in ranked] for channel, ranked in filters.items()}
            for group, filters in groups.items()
        },
    }
    context = {
        "title": title,
        "subtitle": subtitle,
        "generator": GENERATOR,
        "groups": [group for group in groups if group != ALL],
        "count": len(groups.get(ALL, {})),
        "fields": fields,
        # Not to be ended by a name with "</script>" in it.
        "data": Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")),
    }
    style = asset("detection.report", "style.css") + asset(_PACKAGE, "filters.css")
    return render(_PACKAGE, "filters.html", style, asset(_PACKAGE, "filters.js"), context)
