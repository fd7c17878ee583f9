"""Changes of configuration and trust become security events, also those between two runs."""

from pathlib import Path

from gateway.core.events.event import Event
from gateway.runtime.change_watch import ChangeWatch, trusted_files
from tests.support.clock import ManualClock
from tests.support.watermarks_fake import Disk, FakeWatermarks


def watch(disk: Disk, places: list[Path] | None = None) -> tuple[ChangeWatch, list[dict[str, object]], FakeWatermarks]:
    told: list[dict[str, object]] = []
    store = FakeWatermarks(disk)

    def report(event: Event) -> None:
        told.append(event.payload())

    return ChangeWatch(places or [], store, report, ManualClock()), told, store


def test_a_first_start_is_no_change() -> None:
    changes, told, _ = watch({})
    changes.report_configuration("aa", Path("/etc/gateway"))
    changes.update({"/pki/a.der": "11"})
    assert told == []


def test_another_configuration_than_in_the_run_before_is_reported_once() -> None:
    disk: Disk = {}
    for number, hashed in enumerate(["aa", "aa", "bb", "bb"]):
        changes, told, store = watch(disk)
        changes.report_configuration(hashed, Path("/etc/gateway"))
        store.commit()
        assert bool(told) is (number == 2)
        if told:
            assert told == [
                {
                    "what": "configuration_changed",
                    "source": "/etc/gateway",
                    "result": "accepted",
                    "reason": "configuration bb, before aa",
                    "severity": 300,
                }
            ]


def test_a_configuration_that_is_not_taken_is_reported_as_refused() -> None:
    changes, told, _ = watch({})
    changes.report_refused(Path("/etc/gateway"), "gateway.yaml:3: bad")
    assert (told[0]["result"], told[0]["reason"]) == ("refused", "gateway.yaml:3: bad")


def test_each_trusted_file_that_comes_changes_or_goes_is_reported_also_between_runs() -> None:
    disk: Disk = {}
    first, _, store = watch(disk)
    first.update({"/pki/a.der": "11", "/pki/b.der": "22"})
    store.commit()
    second, told, _ = watch(disk)
    second.update({"/pki/b.der": "33", "/pki/c.der": "44"})
    assert [(one["what"], one["source"], str(one["reason"]).split()[0]) for one in told] == [
        ("trust_changed", "/pki/b.der", "changed"),
        ("trust_changed", "/pki/c.der", "added"),
        ("trust_changed", "/pki/a.der", "removed"),
    ]
    second.update({"/pki/b.der": "33", "/pki/c.der": "44"})
    assert len(told) == 3


def test_many_changes_at_once_are_counted_and_not_published_one_by_one() -> None:
    changes, told, _ = watch({})
    changes.update({"/pki/0.der": "0"})
    changes.update({f"/pki/{n}.der": str(n) for n in range(500)})
    assert len(told) == 21
    assert str(told[-1]["reason"]).startswith("479 more files")


def test_files_and_folders_are_read_and_whatever_is_no_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "trusted" / "certs").mkdir(parents=True)
    (tmp_path / "trusted" / "certs" / "a.der").write_bytes(b"a")
    (tmp_path / "ca.pem").write_bytes(b"b")
    found = trusted_files([tmp_path / "trusted", tmp_path / "ca.pem", tmp_path / "missing", Path("/dev/zero")])
    assert {Path(path).name: digest[:4] for path, digest in found.items()} == {"a.der": "ca97", "ca.pem": "3e23"}
