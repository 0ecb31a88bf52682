"""Property tests draw the same examples on every run, so that a change fails by what it changes.

``HYPOTHESIS_PROFILE=explore`` draws new ones; what it finds is kept in ``.hypothesis`` and tried first after that.
"""

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
