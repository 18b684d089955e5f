"""Drawing of boxes, maps and charts, readable at any image size."""

from detection.visualization.charts import Axis, Line, line_chart
from detection.visualization.colours import Colour, class_colour, text_colour
from detection.visualization.drawing import DrawingSettings, draw_boxes, draw_detections, enlarge
from detection.visualization.figures import (
    beside,
    captioned,
    contact_sheet,
    draw_arrows,
    draw_dots,
    stacked,
    table_picture,
)
from detection.visualization.heat import heat_colours, heat_scale, overlay_heat

__all__ = [
    "Axis",
    "Colour",
    "DrawingSettings",
    "Line",
    "beside",
    "captioned",
    "class_colour",
    "contact_sheet",
    "draw_arrows",
    "draw_boxes",
    "draw_detections",
    "draw_dots",
    "enlarge",
    "heat_colours",
    "heat_scale",
    "line_chart",
    "overlay_heat",
    "stacked",
    "table_picture",
    "text_colour",
]
