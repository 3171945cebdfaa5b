"""The entry point of `python -m mtrl_conic`."""

import os
import sys

# Python puts the working directory first on the path, where a file may have the name of any module.
if sys.path and sys.path[0] == os.getcwd() and not getattr(sys.flags, "safe_path", False):
    here = sys.path.pop(0)
    if here == os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
        sys.path.append(here)  # a checkout that is not installed

from mtrl_conic.cli import main  # the path must be set first

sys.exit(main())
