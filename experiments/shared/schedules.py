"""Settings of learning rates that are shares of a run's steps, so that they fit runs of any length."""

from typing import Any

from jaxgen.cli import flag_of

__all__ = ["check_share", "share_of", "steps_to_share", "warmup_steps"]


def check_share(config: Any, name: str) -> None:
    """Raises ValueError where a field of `config` is not a share, 0 to 1."""
    if not 0 <= getattr(config, name) <= 1:
        raise ValueError(f"{flag_of(name)} {getattr(config, name)}: a share of the steps, 0 to 1, is needed")


def share_of(config: Any, name: str) -> int:
    """Returns the number of steps that the share in a field of `config` makes, at least 1."""
    return max(1, round(getattr(config, name) * config.steps))


def warmup_steps(config: Any) -> int:
    """Returns the number of steps over which a config's learning rate rises before it falls along a cosine: 0 without
    a warm-up, and at most all steps but the last, which is left to fall in."""
    return min(share_of(config, "warmup"), config.steps - 1) if config.warmup else 0


def steps_to_share(stored: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """Returns the stored fields of an earlier version with the number of steps `old` as the share `new`, 1 at most."""
    if old not in stored:
        return stored
    rest = {name: value for name, value in stored.items() if name != old}
    return rest | {new: min(1.0, stored[old] / stored["steps"])}
