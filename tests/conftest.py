"""Settings of all tests: two virtual CPU devices, and an error where a PRNG key is used twice."""

import os

# Most of the tests' time is compilation, and LLVM's optimisations are a third of that.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_debug_key_reuse", True)
jax.devices()  # starts the backend, so that no test changes its devices


@pytest.fixture(scope="session")
def enable_x64():
    """The context manager of double precision."""
    try:
        return jax.enable_x64
    except AttributeError:  # before jax 0.8
        from jax.experimental import enable_x64

        return enable_x64


@pytest.fixture
def x64(enable_x64):
    """Double precision."""
    with enable_x64(True):
        yield


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory):
    """What the library caches goes to a folder of the session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
