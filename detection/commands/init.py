"""A YAML file of settings with comments, to be edited: a copy of one that comes with the package.

It is what --config of the other commands takes.

  sppnet init --out mine.yaml --root photos
"""

import json
import re
from pathlib import Path

from detection.command_line import function_command
from detection.config import packaged_configs
from detection.storage import write_text

_ROOT = re.compile(r"^(  root: ).*$", re.MULTILINE)


def init(out: str = "sppnet.yaml", root: str | None = None, template: str = "custom") -> None:
    """Write the file.

    Args:
        out: File to write; it must not be there.
        root: Your data set (dataset.root); without: as the template has it.
        template: Settings to begin with: a name that --config takes.
    """
    known = packaged_configs()
    if template not in known:
        raise ValueError(f"--template: expected one of {', '.join(known)}, got {template!r}")
    if Path(out).exists():
        raise FileExistsError(f"{out}: expected a new file, it is there; nothing is written over")
    text = known[template].read_text(encoding="utf-8")
    if root is not None:
        # A JSON text is a YAML text, whatever is in it.
        text = _ROOT.sub(lambda found: found[1] + json.dumps(root, ensure_ascii=False), text, count=1)
    write_text(out, text)
    print(f"{out}: edit it, then: sppnet run --config {out} --run runs/mine")


main = function_command(__doc__, init)
