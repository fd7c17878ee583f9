"""How long the parts of an OPC UA source wait."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Intervals:
    """Delays in seconds that are not part of the configuration; tests shorten them.

    A `*_most_s` is the ceiling of a delay that doubles.
    """

    check_s: float = 10.0
    """Between two checks of the session; shorter where the server granted less."""
    reopen_s: float = 0.1
    """Pause before the next connection of a search for nodes that bring connections down."""
    grace_s: float = 0.5
    """Added to publishing intervals before something counts as missing: the way through network and event loop."""

    node_retry_s: float = 30.0
    """First retry of a node that the server refuses."""
    node_retry_most_s: float = 120.0
    """A retry is one item more in a call for all that are due, so a node that was created again is soon back."""
    warning_shown_s: float = 60.0
    """How long a warning stays in the device state after it last applied."""
    notifier_retry_s: float = 60.0
    """Retry of event notifiers that the server refuses."""
    labels_check_s: float = 10.0
    """Between two looks for nodes whose labels are still to be asked for."""

    staleness_check_s: float = 10.0
    """Between two checks for nodes without data; a quarter of `silence` where that is shorter."""
    staleness_most_s: float = 3600.0
    """Ceiling for the silence limit, which doubles each time that a new connection was made because of it."""

    poison_retry_s: float = 5.0
    """First retry of a node whose failure costs no connection."""
    poison_retry_most_s: float = 120.0
    costly_retry_s: float = 60.0
    """First retry of a node whose failure costs the connection."""
    costly_retry_most_s: float = 1800.0
    search_pause_s: float = 60.0
    """Pause after a search for poisonous nodes without result."""
    search_pause_most_s: float = 1800.0
    stable_s: float = 10.0
    """A connection that served so long was not lost because of its items, unless the error says so."""
    reread_pause_s: float = 10.0
    """At least so long between two reads of everything after lost notifications."""
    search_step_s: float = 0.05
    """Between two looks whether tried nodes have delivered."""
    search_idle_s: float = 1.0
    """Between two looks whether a retry is due."""

    model_first_s: float = 30.0
    """First comparison of the model after the start, where tags run already."""
    model_quiet_s: float = 2.0
    """A server that reports changes gets so long to finish, anew with each report ..."""
    model_quiet_most_s: float = 30.0
    """... up to this long."""
    model_pause_s: float = 60.0
    """From one comparison to the next, whatever the server reports: a browse is a load on it. Doubles up to `refresh`."""
    model_step_s: float = 1.0
    """Between two looks whether a comparison is due."""

    failback_s: float = 60.0
    """The first server has to be good for so long before it is taken back; doubles each time it fails again soon."""
    failback_most_s: float = 1920.0
    failover_hold_s: float = 30.0
    """After a change no other one for so long, unless the server has no data at all."""
    steady_s: float = 600.0
    """A first server that was taken back and is left again within this time has failed again soon."""
    resume_most_s: float = 5.0
    """Longest try to resume the session that was left behind, where there are other servers."""


DEFAULT_INTERVALS = Intervals()
