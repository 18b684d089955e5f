"""What the filters of a trained network see, and why a window has its score: the command is in the package."""

import sys

from detection.commands.visualize_features import main

if __name__ == "__main__":
    sys.exit(main())
