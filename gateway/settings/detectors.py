"""Checks the list `anomaly:` of tags against the detectors that this gateway has."""

import difflib

from gateway.plugins import DETECTORS
from gateway.settings.problem_collector import Findings
from gateway.settings.source_files import Document, KeyPath
from gateway.stages.config import PolicyDefaults, TagPolicy


def check_detectors(found: Findings, document: Document, policy: TagPolicy | PolicyDefaults, path: KeyPath) -> None:
    """Add what is wrong with the detectors of a policy to the document. path: where the policy's keys stand."""
    if "anomaly" not in policy.model_fields_set:
        return
    for place, choice in enumerate(policy.anomaly or ()):
        if choice in found.valid_detectors:
            continue
        where = (*path, "anomaly", place)
        plugin = DETECTORS.get(choice.name)
        if plugin is None:
            close = difflib.get_close_matches(choice.name, DETECTORS, 1)
            expected = f"{close[0]}?" if close else f"one of {', '.join(DETECTORS)}"
            document.add(where, f"{choice.name!r} is not a known detector", expected)
        elif found.validated(document, plugin.settings_model, dict(choice.settings), (*where, choice.name)) is not None:
            found.valid_detectors.add(choice)
