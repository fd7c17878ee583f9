"""Apache Parquet files, written with pyarrow, which the extra `parquet` brings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import UsageError

_WITHOUT_PYARROW: Final = (
    "the package pyarrow is missing: install the gateway with its extra parquet (pip install .[parquet]), "
    "or use --format csv"
)
_ROWS: Final = 1 << 18
Columns = Mapping[str, NDArray[Any] | Sequence[str]]


class ParquetFile:
    """A new file of one table; rows are written in groups of some 262,144. Raises UsageError without pyarrow, OSError."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise UsageError(_WITHOUT_PYARROW) from None
        self._pa, self._pq, self._path = pa, pq, path
        self._tables: list[Any] = []
        self._rows = 0
        self._writer: Any = None
        self._file = path.open("xb")

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._flush()
            if self._writer is not None:
                self._writer.close()
        finally:
            self._file.close()

    def write(self, columns: Columns) -> None:
        """Add rows. Times are named `time` and are int64 in ns; lists of texts are stored as dictionaries."""
        pa = self._pa
        arrays = {}
        for name, column in columns.items():
            if name == "time":
                arrays[name] = pa.array(column, pa.timestamp("ns", "UTC"))
            elif isinstance(column, np.ndarray):
                arrays[name] = pa.array(column, from_pandas=column.dtype.kind == "f")  # NaN becomes null
            else:
                arrays[name] = pa.array(column, pa.dictionary(pa.int32(), pa.string()))
        table = pa.table(arrays)
        self._tables.append(table)
        self._rows += table.num_rows
        if self._rows >= _ROWS or self._writer is None:
            self._flush()

    def _flush(self) -> None:
        if not self._tables:
            return
        table = self._pa.concat_tables(self._tables).unify_dictionaries()
        if self._writer is None:
            self._writer = self._pq.ParquetWriter(self._file, table.schema, compression="zstd")
        self._writer.write_table(table)
        self._tables, self._rows = [], 0
