import jax.numpy as jnp
import optax
import pytest

from jaxgen.schedules import value_at


@pytest.mark.parametrize(("value", "expected"), [(0.25, 0.25), (3, 3), (optax.linear_schedule(0.0, 2.0, 4), 1.5)])
def test_a_number_stays_and_a_schedule_follows_the_step(value, expected):
    assert float(value_at(value, jnp.int32(3))) == expected


def test_a_traced_array_stays():
    assert value_at(jnp.float32(7), jnp.int32(1)) == 7
