"""How many examples a property is tried with: a few in every run, many in `make fuzz`."""

from hypothesis import settings

QUICK, FUZZ = "quick", "fuzz"

# No deadline: how long an example takes says how busy the machine is.
settings.register_profile(QUICK, max_examples=12, deadline=None)
settings.register_profile(FUZZ, max_examples=100, deadline=None)


def examples(times: int) -> settings:
    """Return settings for `times` as many examples as the profile in use has, where one example proves little."""
    return settings(max_examples=times * settings.default.max_examples)
