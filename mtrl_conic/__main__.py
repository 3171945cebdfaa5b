"""`python -m mtrl_conic`."""

import sys

from mtrl_conic.cli import main

sys.exit(main())
