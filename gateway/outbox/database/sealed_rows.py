"""Rows of a sealed file: the seal is checked when it is opened and beside the work, and renewed with every transaction."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from gateway.core.errors import ConfigError
from gateway.core.plural import counted
from gateway.outbox.database.counted_rows import CountedRows
from gateway.outbox.database.schema import SEALED
from gateway.outbox.database.seal import FACTS, CheckPass, Seal, SealState, closed_id, new_state, opened, row_digests
from gateway.outbox.database.sqlite_errors import SealBrokenError, translated
from gateway.outbox.records import Row

CHECK_S: Final = 3600.0
"""How often all rows are gone through again while the gateway runs, seconds."""

PLAIN: Final = (
    "The file has no seal: it is from before outbox.key_file was set, or the seal was removed: nothing in it is believed; "
    "if it is yours as it is, stop the gateway, put the file back and set outbox.accept_plain: true for one start"
)
_CHECK_ROWS: Final = 2_000
_ARGUMENTS: Final = 12


class SealedRows(CountedRows):
    """A database that is sealed where there is a key."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.seal: Seal | None = None
        self.seal_state: SealState | None = None
        self.unsealed_before = 0
        """Messages that were there when the file was sealed, just now."""
        self.is_unproven = False
        """The file was sealed just now and only payloads that were encrypted before are believed, no watermark."""
        self._check: CheckPass | None = None
        self._checked_at = 0.0
        self._next_state: SealState | None = None

    @property
    def is_checking(self) -> bool:
        """Return whether there are rows that have not been gone through since the file was opened."""
        return self._check is not None

    async def _check_key(self) -> None:
        """Check the key. Raises ConfigError when payloads were encrypted with another one, or with one and there is none."""
        proofs, states = await self._rows("SELECT proof FROM seal"), await self._rows("SELECT state FROM seal_state")
        advice = "give back the key it was written with, or move the file away to start empty"
        key = self.compression.encryption
        if (proofs or states) and key is None:
            raise ConfigError(f"outbox.key_file: {self._path} is encrypted and no key is set; {advice}")
        if key is not None and not all(isinstance(proof, bytes) and key.matches(proof) for (proof,) in proofs):
            raise ConfigError(f"outbox.key_file: {key.name} is not the key of {self._path}; {advice}")

    async def _open_seal(self, version: int) -> None:
        """Take over the seal, or make one. version: what the file was before it was opened. Raises SealBrokenError."""
        self.seal = self.seal_state = self._check = self.compression.binding = None
        self.unsealed_before, self.is_unproven = 0, False
        key = self.compression.encryption
        if key is None:
            return
        states, proofs = await self._rows("SELECT state FROM seal_state"), await self._rows("SELECT proof FROM seal")
        is_new = not states and (version < SEALED or not proofs)
        self.is_unproven = is_new and not self.compression.takes_plain
        if self.is_unproven and not proofs:
            await self._check_empty()
        state = await self._new_seal(bool(proofs)) if is_new else opened(key, states)
        if state is None:
            raise SealBrokenError("the seal is missing, or was made by somebody else")
        seal = Seal(key, state.file_id)
        await self._database.create_function("seal_row", _ARGUMENTS, seal.row, deterministic=True)
        if not is_new and await self._facts(seal) != state.facts:
            raise SealBrokenError("runs, losses, counts or watermarks are not those that were sealed")
        self.seal, self.seal_state, self.compression.binding = seal, state, state.binding
        self._check = CheckPass()
        while self._is_small and self._check is not None:
            await self._go_on(self._check)

    async def _check_empty(self) -> None:
        """Check that a file without a seal has nothing that could be forged. Raises SealBrokenError."""
        found: dict[str, int] = {}
        for what in ("message", "loss", "watermark"):
            found[what] = (await self._rows(f"SELECT count(*) FROM {what}"))[0][0]  # noqa: S608
        if any(found.values()):
            raise SealBrokenError(f"{', '.join(counted(n, what) for what, n in found.items() if n)} in clear. {PLAIN}")

    async def _new_seal(self, has_proof: bool) -> SealState:
        key = self.compression.encryption
        assert key is not None, "asked before"
        self.unsealed_before, last_id = (await self._rows("SELECT count(*), coalesce(max(id), 0) FROM message"))[0]
        state = new_state(last_id, takes_plain=self.compression.takes_plain)
        if not has_proof:
            await self._rows("INSERT INTO seal (proof) VALUES (?)", (key.key_check(),))
        await self._rows("UPDATE seal SET file = ?", (closed_id(key, state.file_id),))
        await self._rows("INSERT INTO seal_state VALUES (?)", (state.closed(key),))
        return state

    async def check_more(self, now: float) -> None:
        """Go through some rows, or begin anew when it is time. now: monotonic seconds. Raises SealBrokenError."""
        if self.seal is None:
            return
        if self._check is None:
            if self._checked_at and now < self._checked_at + CHECK_S:
                return
            self._checked_at, self._check = now, CheckPass()
        with translated():
            await self._go_on(self._check)

    async def _go_on(self, check: CheckPass) -> None:
        state = self.seal_state
        assert state is not None, "sealed"
        found = await self._rows(row_digests(state.plain_to, "id > ? ORDER BY id LIMIT ?"), (check.to, _CHECK_ROWS))
        await asyncio.to_thread(check.add, found)
        if len(found) == _CHECK_ROWS:
            return
        self._check = None
        if not state.is_bound:
            self.seal_state = replace(state, is_bound=True, rows=check.rows, total=check.total)
        elif flaw := check.flaw(state):
            raise SealBrokenError(flaw)

    # -- transactions

    async def _digests_of(self, rows: Sequence[Row]) -> list[tuple[int, bytes]]:
        """Return the digests of rows that are about to be deleted."""
        if self.seal_state is None or not rows:
            return []
        query = row_digests(self.seal_state.plain_to, "id IN (SELECT value FROM json_each(?))")
        return await self._rows(query, (json.dumps([row.id for row in rows]),))

    def _digests(self, rows: Sequence[Sequence[Any]]) -> list[tuple[int, bytes]]:
        """Return the ids and digests of rows that are inserted, given as the insertion has them."""
        if self.seal is None or self.seal_state is None:
            return []
        digests: list[tuple[int, bytes]] = []
        for *numbers, check, kept, coded, windows, first_seq in rows:
            content = kept if numbers[0] <= self.seal_state.plain_to else None
            digests.append((numbers[0], self.seal.row(content, *numbers, check, coded, windows, first_seq)))
        return digests

    def _reseal(self, gone: Sequence[tuple[int, bytes]], come: Sequence[tuple[int, bytes]]) -> None:
        """Have this transaction write the seal over these changes of rows."""
        if self.seal_state is not None:
            self._next_state = self.seal_state.after((digest for _, digest in gone), (digest for _, digest in come))

    async def _before_commit(self) -> None:
        state, key = self._next_state or self.seal_state, self.compression.encryption
        if self.seal is None or state is None or key is None:
            return
        facts = await self._facts(self.seal)
        self._next_state = replace(state, generation=state.generation + 1, facts=facts)
        await self._rows("UPDATE seal_state SET state = ?", (self._next_state.closed(key),))

    def _after_transaction(self, is_committed: bool) -> None:
        if is_committed and self._next_state is not None:
            self.seal_state = self._next_state
        self._next_state = None

    async def _facts(self, seal: Seal) -> bytes:
        return await asyncio.to_thread(seal.facts, await self._rows(FACTS))
