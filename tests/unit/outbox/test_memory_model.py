"""Whatever the order of events between pipeline, publisher and disk: each message is delivered, lost on record, or there."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.core.messages import Lane, Message
from gateway.core.ports.outbox import Delivery
from gateway.outbox.memory.memory import Batch, Memory
from gateway.outbox.memory.rate_limiter import RateLimiter
from gateway.outbox.records import Entry, Loaded, LoadRequest
from tests.support.examples import examples
from tests.support.outbox_parts import message

LOAD_ROWS = 3

NO_LIMIT = RateLimiter(0, 0, 0.0)


class MemoryAgainstModel(RuleBasedStateMachine):
    """The disk is a dictionary; the model knows of each sequence number whether it waits, flies, is over or lost."""

    newest_first = False

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory(self.newest_first)
        self.disk: dict[int, tuple[int, Message]] = {}
        self.live = False
        self.fresh: set[int] = set()
        """Messages that are live: put while connected, and neither given back nor waiting when a connection went."""
        self.held: set[int] = set()
        self.waiting: set[int] = set()
        self.flying: dict[int, Delivery] = {}
        self.batch: Batch | None = None
        self.loading: tuple[LoadRequest, Loaded] | None = None
        self.seq = 0
        self.now = 0.0

    @initialize(count=st.integers(0, 8))
    def earlier_boot(self, count: int) -> None:
        """Rows of another boot, and messages that were put before the database could be opened."""
        for _ in range(2):
            self.put(Lane.WINDOW)
        for id in range(1, count + 1):
            self.seq += 1
            self.waiting.add(self.seq)
            self.disk[id] = (Lane.WINDOW, message(self.seq))
        self.memory.disk_found(count)

    @rule(lane=st.sampled_from(Lane))
    def put(self, lane: Lane) -> None:
        self.seq += 1
        self.waiting.add(self.seq)
        self.fresh |= {self.seq} if self.live else set()
        self.memory.put(message(self.seq, lane), self.live, self.tick())

    @rule()
    def hold(self) -> None:
        self.seq += 1
        self.waiting.add(self.seq)
        self.held.add(self.seq)
        self.memory.put_loss(message(self.seq, Lane.EVENT), self.tick())

    @rule(live=st.booleans())
    def connect(self, live: bool) -> None:
        self.live = live
        if not live:
            self.fresh -= self.waiting
            self.memory.disconnected()

    @rule(limit=st.integers(1, 6), in_order=st.booleans())
    def take_some(self, limit: int, in_order: bool) -> None:
        self.take(limit, in_order)

    def take(self, limit: int, in_order: bool) -> list[Delivery]:
        got = self.memory.fetch(limit, in_order, NO_LIMIT)
        assert len(got) <= limit
        for delivery in got:
            seq = delivery.message.seq
            assert seq in self.waiting, "handed out twice, or after its end"
            assert seq in self.held or delivery.live == (seq in self.fresh)
            self.waiting.remove(seq)
            self.flying[seq] = delivery
        return got

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.flying)))
        self.memory.end(self.flying.pop(seq), self.tick())

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        seqs = data.draw(st.sets(st.sampled_from(sorted(self.flying)), min_size=1))
        self.memory.release([self.flying.pop(seq) for seq in seqs])
        self.fresh -= seqs
        self.waiting |= seqs

    @precondition(lambda self: not self.batch and not self.loading)
    @rule(most=st.integers(0, 500), deletes=st.integers(0, 3))
    def begin_commit(self, most: int, deletes: int) -> None:
        self.batch = self.memory.next_batch(most, deletes)

    @precondition(lambda self: self.batch)
    @rule(good=st.booleans())
    def finish_commit(self, good: bool) -> None:
        batch, self.batch = self.batch, None
        assert batch is not None
        if not good:
            self.memory.failed(batch, self.live)
            return
        for gone in batch.deletes:
            del self.disk[gone.id]
        for entry in batch.inserts:
            assert entry.id not in self.disk
            self.disk[entry.id] = (entry.lane, entry.message)
        self.memory.committed(batch, self.live, self.tick())

    @precondition(lambda self: not self.batch and not self.loading and self.memory.next_load())
    @rule()
    def begin_load(self) -> None:
        wanted = self.memory.next_load()
        assert wanted is not None
        falling, after = wanted.newest_first, wanted.after
        rows = [
            (id, lane, m)
            for id, (lane, m) in sorted(self.disk.items(), reverse=falling)
            if (id < after if falling else id > after) and (lane <= Lane.EVENT) == wanted.events
        ]
        some = rows[:LOAD_ROWS]
        found = [Entry(id, m, False, lane, 0.0, stored=True, kept=len(m.payload)) for id, lane, m in some]
        self.loading = wanted, Loaded(found, (), some[-1][0] if some else after, len(rows) < LOAD_ROWS)

    @precondition(lambda self: self.loading)
    @rule()
    def finish_load(self) -> None:
        assert self.loading is not None
        wanted, batch = self.loading
        self.loading = None
        self.memory.loaded(wanted, batch, self.tick())

    @rule(most=st.integers(0, 3000))
    def spill(self, most: int) -> None:
        self.memory.spill(most)

    @rule(most=st.integers(0, 6000))
    def drop(self, most: int) -> None:
        dropped = [entry.message.seq for entry in self.memory.drop(most)]
        assert len(set(dropped)) == len(dropped)
        assert self.waiting.issuperset(dropped)
        self.waiting.difference_update(dropped)

    @precondition(lambda self: not self.batch and not self.loading)
    @rule()
    def lose_disk(self) -> None:
        known = {id for id in self.disk if self.memory.holds(id)}
        assert {row.id for row in self.memory.held} == known
        self.memory.disk_lost()
        self.waiting -= {self.disk[id][1].seq for id in self.disk.keys() - known}
        self.disk = {}
        self.memory.disk_found(0)

    @invariant()
    def bytes_are_counted(self) -> None:
        assert self.memory.waiting_bytes == sum(entry.cost for entry in self.memory._waiting)

    def teardown(self) -> None:
        """At the end everything that waits comes, once, in order; then the disk has nothing left to do or to keep."""
        if self.batch:
            self.finish_commit(True)
        if self.loading:
            self.finish_load()
        self.memory.release(self.flying.values())
        self.waiting |= self.flying.keys()
        self.flying = {}
        self.connect(False)
        self.commit_all()
        self.memory.spill(0)
        assert len(self.disk) == len(self.waiting)
        order: list[tuple[bool, int]] = []
        while got := self.take(2, True) or self.memory.next_load():
            if not isinstance(got, list):
                self.begin_load()
                self.finish_load()
                continue
            for delivery in got:
                later = delivery.lane > Lane.EVENT
                order.append((later, -delivery.id if later and self.newest_first else delivery.id))
                self.memory.end(self.flying.pop(delivery.message.seq), self.tick())
        assert not self.waiting
        assert order == sorted(order)
        self.commit_all()
        assert self.disk == {}

    def commit_all(self) -> None:
        while self.memory.due_since() is not None:
            self.begin_commit(1000, 3)
            self.finish_commit(True)

    def tick(self) -> float:
        self.now += 1
        return self.now


class NewestFirst(MemoryAgainstModel):
    """The same with the other order of backlog."""

    newest_first = True


TestNewestFirst = NewestFirst.TestCase
TestNewestFirst.settings = settings(stateful_step_count=40)
TestMemoryAgainstModel = MemoryAgainstModel.TestCase
TestMemoryAgainstModel.settings = settings(examples(2), stateful_step_count=40)
