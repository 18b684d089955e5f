"""A classifier of whole images, of any size: the command is in the package."""

import sys

from detection.commands.train_classifier import main

if __name__ == "__main__":
    sys.exit(main())
