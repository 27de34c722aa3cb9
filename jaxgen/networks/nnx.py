"""Flax NNX modules as networks of any model.

    encoder = from_nnx(Encoder, 784, latent=20)  # the class and its arguments without `rngs`; not an instance
    vae = VAE(encoder, from_nnx(Decoder, 20), optax.adam(1e-3))

The models are pure functions of their state, while an NNX module holds its own. So the bridge makes the module at every
call, under `jit` at no cost, and fills it with the parameters of the state.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import linen
from flax.core import FrozenDict
from flax.traverse_util import flatten_dict, unflatten_dict

__all__ = ["NNXNetwork", "from_nnx"]


def from_nnx(cls: Callable[..., Any], *args: Any, **kwargs: Any) -> "NNXNetwork":
    """Returns a Linen module that is the NNX module `cls(*args, **kwargs, rngs=...)`.

    The module is called with the inputs that the model gives to a Linen network in its place, such as
    `encoder(image, label)`, where an unconditional model's label is None. The model's flag `train` chooses between the
    module's `train()` and `eval()`; dropout and other noise get the model's key. The arguments of the constructor are
    fields of the network, so `encoder.latent` is the argument `latent`.

    Parameters (`nnx.Param`) become the collection `params`; all other variables, such as the averages of
    `nnx.BatchNorm`, become `batch_stats`.

    ValueError for an instance in place of a class, and for arguments that the class does not take.
    """
    from flax import nnx

    if isinstance(cls, nnx.Module):
        name = type(cls).__name__
        raise ValueError(
            f"from_nnx: got an instance of {name}; give the class and its arguments: from_nnx({name}, ...)"
        )
    try:
        _bound(cls, args, kwargs)
    except TypeError as error:
        raise ValueError(f"from_nnx: the arguments do not fit {_name(cls)}: {error}") from None
    return NNXNetwork(cls, args, FrozenDict(kwargs))


class NNXNetwork(linen.Module):
    """An NNX module seen as a Linen module; made by `from_nnx`."""

    cls: Callable[..., Any]
    """The NNX class, or a function that returns an NNX module."""
    args: tuple[Any, ...] = ()
    """Its positional arguments."""
    kwargs: Mapping[str, Any] = FrozenDict()
    """Its keyword arguments, without `rngs`."""

    @linen.compact
    def __call__(self, *inputs: Any, train: bool = False, **options: Any) -> Any:
        """Calls the module with parameters and statistics of this network's variables."""
        from flax import nnx

        stream = "params" if self.is_initializing() else "dropout"
        key = self.make_rng(stream) if self.has_rng(stream) else jax.random.key(0)
        rngs = {"rngs": nnx.Rngs(key)} if _takes_rngs(self.cls) else {}
        module = self.cls(*self.args, **self.kwargs, **rngs)
        if train and not self.has_rng(stream) and jax.tree.leaves(nnx.state(module, nnx.RngState)):
            self.make_rng(stream)  # raises Linen's error where the module would draw its noise without a key
        if self.is_initializing():
            self._write(_states(module))
        else:
            nnx.update(module, *(self._filled(name, state) for name, state in _states(module).items()))
        module.train() if train else module.eval()
        output = module(*inputs, **options)
        if not self.is_initializing():
            self._write({"batch_stats": _states(module)["batch_stats"]})
        return output

    def __getattr__(self, name: str) -> Any:
        """Returns the constructor's argument of that name."""
        if not name.startswith("_") and "cls" in self.__dict__:
            arguments = _bound(self.cls, self.args, self.kwargs)
            if name in arguments:
                return arguments[name]
        return super().__getattr__(name)

    def _filled(self, collection: str, state: Any) -> Any:
        """The NNX state with the values of a collection."""
        values = flatten_dict(self.variables.get(collection, {}), sep="/")
        return jax.tree.map_with_path(lambda path, _: values[_path(path)], state)

    def _write(self, states: dict[str, Any]) -> None:
        """Puts NNX states into the collections that may change."""
        for collection, state in states.items():
            if self.is_mutable_collection(collection):
                values = {_path(path): leaf for path, leaf in jax.tree.leaves_with_path(state)}
                for name, value in unflatten_dict(values, sep="/").items():
                    self.put_variable(collection, name, value)


def _states(module: Any) -> dict[str, Any]:
    """The module's state by collection, without its keys and what it sows."""
    from flax import nnx

    params, _, rest = nnx.state(module, nnx.Param, nnx.Any(nnx.RngState, nnx.Intermediate), ...)
    return {"params": params, "batch_stats": rest}


def _path(path: tuple) -> str:
    """The name of a leaf, such as `layers/0/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/value")


def _signature(cls: Callable[..., Any]) -> inspect.Signature:
    if not isinstance(cls, type):
        return inspect.signature(cls)
    signature = inspect.signature(cls.__init__)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _takes_rngs(cls: Callable[..., Any]) -> bool:
    parameters = _signature(cls).parameters
    return "rngs" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _bound(cls: Callable[..., Any], args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's arguments by name, with its defaults; TypeError where they do not fit."""
    bound = _signature(cls).bind(*args, **kwargs, **({"rngs": None} if _takes_rngs(cls) else {}))
    bound.apply_defaults()
    return {name: value for name, value in bound.arguments.items() if name != "rngs"}


def _name(cls: Callable[..., Any]) -> str:
    return getattr(cls, "__name__", repr(cls))
