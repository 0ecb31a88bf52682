"""Property tests draw the same examples on every run, so that a change fails by what it changes.

``HYPOTHESIS_PROFILE=explore`` draws new ones; what it finds is kept in ``.hypothesis`` and tried first after that.
Journals of runs and compiled loops go to a place of the tests' own, and not among those of whoever runs them.
"""

import os

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session", autouse=True)
def journals_and_caches_elsewhere(tmp_path_factory):
    elsewhere = {"XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache"}
    before = {name: os.environ.get(name) for name in elsewhere}
    for name, folder in elsewhere.items():
        os.environ[name] = str(tmp_path_factory.mktemp(folder))
    yield
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
