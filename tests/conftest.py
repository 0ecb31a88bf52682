"""Property tests draw the same examples on every run, so that a change fails by what it changes.

``HYPOTHESIS_PROFILE=explore`` draws new ones; what it finds is kept in ``.hypothesis`` and tried first after that.
Journals of runs go to a place of the tests' own, and not among those of whoever runs them.
"""

import os

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session", autouse=True)
def journals_elsewhere(tmp_path_factory):
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before
