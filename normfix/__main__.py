"""`python -m normfix`."""

import sys

from normfix.cli import main

if __name__ == "__main__":
    sys.exit(main())
