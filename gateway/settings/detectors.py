"""Check the list `anomaly:` of tags against the detectors that this gateway has."""

import difflib

from gateway.plugins import DETECTORS
from gateway.settings.problem_collector import ProblemCollector
from gateway.settings.source_files import KeyPath, SourceFile
from gateway.stages.config import PolicyDefaults, TagPolicy


def check_detectors(
    collector: ProblemCollector, file: SourceFile, policy: TagPolicy | PolicyDefaults, path: KeyPath
) -> None:
    """Add each fault in the detectors of a policy to its file.

    path: the key path of the policy in the file.
    """
    if "anomaly" not in policy.model_fields_set:
        return
    for place, choice in enumerate(policy.anomaly or ()):
        if choice in collector.valid_detectors:
            continue
        where = (*path, "anomaly", place)
        plugin = DETECTORS.get(choice.name)
        if plugin is None:
            close = difflib.get_close_matches(choice.name, DETECTORS, 1)
            expected = f"{close[0]}?" if close else f"one of {', '.join(DETECTORS)}"
            file.add(where, f"{choice.name!r} is not a known detector", expected)
        elif collector.validate(file, plugin.settings_model, dict(choice.settings), (*where, choice.name)) is not None:
            collector.valid_detectors.add(choice)
