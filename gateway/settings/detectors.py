"""Check the list `anomaly:` of tags against the detectors that this gateway has."""

from gateway.core.nearest import nearest
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
        # true and 1 are equal, and so are 1 and 1.0: settings of other types are other settings
        known = choice, tuple(type(one) for _, one in choice.settings)
        if known in collector.valid_detectors:
            continue
        where = (*path, "anomaly", place)
        plugin = DETECTORS.get(choice.name)
        if plugin is None:
            close = nearest(choice.name, DETECTORS)
            expected = f"{close}?" if close else f"one of {', '.join(DETECTORS)}"
            file.add(where, f"{choice.name!r} is not a known detector", expected)
        elif collector.validate(file, plugin.settings_model, dict(choice.settings), (*where, choice.name)) is not None:
            collector.valid_detectors.add(known)
