"""A report on disk: the page, and next to it a folder of its tables and curves as CSV and PNG."""

from pathlib import Path

from detection.data import write_image
from detection.report import curves
from detection.report.page import GENERATOR, Content, build, page
from detection.report.records import Comparison, ReportRun, ReportSettings
from detection.report.tables import Table
from detection.storage import write_text
from detection.visualization import contact_sheet, table_picture

# Curves in one picture, and rows in the picture of a table: more are not readable.
_SHEET_COLUMNS, _SHEET_CURVES = 4, 40
_PICTURE_ROWS = 60
# Bytes of a page in which its generator is looked for.
_HEAD = 4096


def write_report(
    path: Path | str, run: ReportRun, comparison: Comparison | None = None, settings: ReportSettings | None = None
) -> list[Path]:
    """Write the page to `path` (a name that ends in .html) and its tables and curves to the folder next to it.

    The folder has the page's name without extension. Returns all files, the page first. Raises ValueError where a
    file that is no report stands in the page's place, and for another extension.
    """
    path, settings = Path(path), settings or ReportSettings()
    check_target(path)
    folder = path.with_suffix("")
    content = build(run, comparison, settings)
    written = _write_tables(folder, run, comparison, content) + _write_plots(folder, content)
    words = f"The tables and curves lie as CSV and PNG files in the folder {folder.name} beside this page."
    write_text(path, page(run, comparison, content, settings, words))
    return [path, *written]


def check_target(path: Path) -> None:
    """Raise ValueError where a report may not be written to `path`."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{path}: expected a file name that ends in .html")
    if path.with_suffix("").is_file():
        raise ValueError(f"{path.with_suffix('')}: expected a folder for the report's tables, found a file")
    if path.is_dir():
        raise ValueError(f"{path}: expected a file, found a folder")
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if GENERATOR.encode() not in head:
            raise ValueError(f"{path}: expected no file or an older report, found another file; it is left as it is")


def _write_tables(folder: Path, run: ReportRun, comparison: Comparison | None, content: Content) -> list[Path]:
    points = [curves.curve_table(run)]
    if comparison:
        other = curves.curve_table(comparison.other)
        points.append(Table(f"{other.name}_2", other.caption, other.columns, other.rows))
    written = []
    for table in [*content.tables(), *points]:
        written.append(folder / f"{table.name}.csv")
        write_text(written[-1], table.csv().encode("utf-8", "replace").decode())
    for table in content.tables():
        written.append(folder / f"{table.name}.png")
        write_image(written[-1], _table_picture(table))
    return written


def _table_picture(table: Table):
    texts = [[cell.text for cell in cells] for _, cells in [*table.body, *table.sums]]
    left_out = len(texts) - _PICTURE_ROWS
    if left_out > 0:
        texts = [*texts[: _PICTURE_ROWS - 1], [f"... {left_out + 1} more rows", *[""] * (len(table.columns) - 1)]]
    return table_picture([one.title for one in table.columns], texts, [one.numeric for one in table.columns])


def _write_plots(folder: Path, content: Content) -> list[Path]:
    written = []
    if content.curves:
        written.append(folder / "precision_recall.png")
        shown = content.curves[:_SHEET_CURVES]
        write_image(written[-1], contact_sheet([one.picture() for one in shown], _SHEET_COLUMNS))
    for plot in content.score_plots:
        # The table of the same name has its own picture.
        written.append(folder / f"{plot.name}_curve.png")
        write_image(written[-1], plot.picture())
    return written
