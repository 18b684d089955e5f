"""Drawing of boxes, readable at any image size."""

from detection.visualization.charts import Axis, Line, line_chart
from detection.visualization.colours import Colour, class_colour, text_colour
from detection.visualization.drawing import DrawingSettings, draw_boxes, draw_detections
from detection.visualization.enlarging import enlarge
from detection.visualization.sheet import contact_sheet
from detection.visualization.tables import table_picture

__all__ = [
    "Axis",
    "Colour",
    "DrawingSettings",
    "Line",
    "class_colour",
    "contact_sheet",
    "draw_boxes",
    "draw_detections",
    "enlarge",
    "line_chart",
    "table_picture",
    "text_colour",
]
