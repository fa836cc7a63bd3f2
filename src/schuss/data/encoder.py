"""Record batches into rows of numbers, by statistics taken once from a sample."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .chunk import Rows, SparseRows, take_rows
from .columns.categories import CategoryColumn
from .columns.convert import in_one_piece
from .columns.dates import DateColumn
from .columns.kind import ColumnEncoder, width_edges
from .columns.numbers import NumberColumn
from .columns.place import Place, fitting
from .columns.sparse import SparseColumn
from .columns.text import TextColumn
from .columnwise import columnwise
from .layout import DensePlan, dense_plan, locate_numbers, should_be_sparse, sparse_rows, sparse_scores, write_dense
from .schema import Role, Schema, require_columns
from .soundness import require_columns_of
from .state import pack, unpacked
from .target import TargetEncoder, fit_target, row_weights


class Encoded(NamedTuple):
    """Rows ready for learning.

    rows : dense float32 `(n, width)`, or SparseRows.
    targets : int32 class indices, or float32 `(y - target_mean) / target_scale`; empty when not asked for.
    weights : float32, one where the data have none.
    kept : which rows of the batch these are; None for all of them. Rows without a target are left out.
    unseen : for each column where there were any, how many values were unlike the sample's; empty without targets.
    """

    rows: Rows
    targets: NDArray[np.int32] | NDArray[np.float32]
    weights: NDArray[np.float32]
    kept: NDArray[np.bool_] | None
    unseen: Mapping[str, int]


class Prepared(NamedTuple):
    """Values of some rows, converted and checked, of which rows can be made.

    length : how many rows; missing : which of them lack a target, None if none does; columns : the values of each
    column of features; located : where in memory those that are numbers lie.
    """

    length: int
    targets: NDArray[np.int32] | NDArray[np.float32]
    weights: NDArray[np.float32]
    missing: NDArray[np.bool_] | None
    unseen: Mapping[str, int]
    columns: list[Any]
    located: NDArray[np.int64]


@dataclass(frozen=True)
class Encoder:
    """Turns record batches with the sample's columns into rows; immutable, and the same after `from_state(to_state())`.

    schema : the roles of the columns.
    sparse : whether rows are CSR; dense features have zero mean and (nearly) unit variance in the sample, sparse ones
        are scaled, not centred.
    features : the encoders of the columns, in the order of their features.
    target : the encoder of the target.
    """

    schema: Schema
    sparse: bool
    hash_bits: int
    features: tuple[ColumnEncoder, ...]
    target: TargetEncoder

    @classmethod
    def fit(
        cls,
        sample: pa.Table,
        schema: Schema,
        *,
        name: str,
        sparse: bool | None = None,
        hash_bits: int = 18,
        rows_expected: int | None = None,
        labels: Callable[[], pa.Array | pa.ChunkedArray] | None = None,
        positive: bool = False,
    ) -> Encoder:
        """Take the statistics of a sample.

        Parameters
        ----------
        sample : rows that represent the whole.
        schema : what `infer_schema` found in them.
        name : what messages call the data.
        sparse : the layout of the rows; None chooses by width and density.
        hash_bits : hashed features of a column number at most 2 to this power.
        rows_expected : rows of the whole where known, which tells how many categories are still to come.
        labels : gives values of the target to take the classes from, where the sample may lack rare ones; asked for
            last.
        positive : whether numbers to predict are at least zero, and are to be scaled, not centred.

        Raises
        ------
        DataError
            At an infinite value, a word among numbers, or a target that cannot be learned.
        """
        where = f"{name} (sample)"
        declared = {key: int(value) for key, value in (sample.schema.metadata or {}).items() if key in _DECLARED}
        features = schema.features()

        def fitted(at: int) -> ColumnEncoder:
            name, values = features[at].name, in_one_piece(sample.column(features[at].name))
            return _fit_column(features[at].role, values, Place(where, 0, name), declared, hash_bits, rows_expected)

        columns = columnwise(fitted, [sample.column(column.name) for column in features])
        if sparse is None:
            sparse = should_be_sparse(columns)
        goal = schema.named(Role.TARGET) or ""
        values = in_one_piece(sample.column(goal) if labels is None else labels())
        with fitting(values, Place(where, 0, goal), Role.TARGET):
            target = fit_target(values, Place(where, 0, goal), schema.task, positive=positive)
        return cls(schema, sparse, hash_bits, tuple(column.laid_out(sparse) for column in columns), target)

    @cached_property
    def width(self) -> int:
        """Number of features, without the intercept."""
        return self._edges[-1]

    @cached_property
    def density(self) -> float:
        """How many features of a row are not zero before they are centred, on average."""
        return sum(column.density for column in self.features)

    @cached_property
    def _edges(self) -> list[int]:
        return width_edges(self.features)

    @cached_property
    def _plan(self) -> DensePlan:
        return dense_plan(self.features)

    @cached_property
    def _roles(self) -> list[Role]:
        return [column.role for column in self.schema.features()]

    @property
    def classes(self) -> list[Any] | None:
        """The labels of the classes in sorted order; None for regression."""
        return None if self.target.classes is None else list(self.target.classes)

    @property
    def target_mean(self) -> float:
        """What regression targets are centred by."""
        return self.target.mean

    @property
    def target_scale(self) -> float:
        """What regression targets are divided by."""
        return self.target.scale

    @cached_property
    def columns(self) -> list[str]:
        """The columns that `encode` reads."""
        extra = [self.schema.named(role) for role in (Role.TARGET, Role.WEIGHT)]
        return [column.name for column in self.features] + [name for name in extra if name is not None]

    def reading(self) -> dict[str, Any]:
        """Give the options of `open_source` by which text is read as that of the sample was."""
        roles = {column.name: column.role for column in self.schema.features()}
        strings = [name for name, role in roles.items() if role in (Role.CATEGORY, Role.TEXT)]
        numbers = [name for name, role in roles.items() if role is Role.NUMBER]
        target = [self.schema.named(Role.TARGET) or ""]
        if self.classes is None:
            numbers += target
        elif isinstance(self.classes[0], str):
            strings += target
        # Where no category of the sample had to share a bucket there are few, which come again and again.
        few = [one.name for one in self.features if isinstance(one, CategoryColumn) and one.buckets == 1]
        return {"strings": strings, "numbers": numbers, "repeated": few + target}

    @property
    def feature_names(self) -> list[str]:
        """The name of each feature."""
        return [self.feature(index)[0] for index in range(self.width)]

    def feature(self, index: int) -> tuple[str, str]:
        """Name a feature, and what its weight in the data's units is per."""
        at = bisect_right(self._edges, index) - 1
        return self.features[at].feature(index - self._edges[at])

    def encode(
        self, table: pa.RecordBatch, *, where: str, first_row: int, target: bool = True, weighted: bool = True
    ) -> Encoded:
        """Encode rows.

        Parameters
        ----------
        table : rows with the columns `self.columns`, in any order; others are ignored.
        where : the file or array they come from, for messages.
        first_row : the place of the first of them there, from 0.
        target : False to encode the features only, as for prediction: nothing is left out.
        weighted : False to do without the column of weights: all are one.

        Raises
        ------
        DataError
            When a column is missing or a value cannot be used; it names where, row, column and value.
        """
        prepared = self.prepare(table, where=where, first_row=first_row, target=target, weighted=weighted)
        whole = self.rows(prepared)
        _, targets, weights, missing, unseen, *_ = prepared
        if missing is None:
            return Encoded(whole, targets, weights, None, unseen)
        kept = ~missing
        return Encoded(take_rows(whole, np.flatnonzero(kept)), targets[kept], weights[kept], kept, unseen)

    def prepare(
        self,
        table: pa.RecordBatch,
        *,
        where: str,
        first_row: int,
        target: bool = True,
        weighted: bool = True,
        to_score: bool = False,
    ) -> Prepared:
        """Convert and check values, as the first step of `encode`, which says what the parameters are.

        to_score : True where `sparse_scores` follows, and nothing else is asked of the values.
        """
        place = Place(where, first_row, "")
        weight = self.schema.named(Role.WEIGHT) if target and weighted else None
        self._require_columns(table, where, target, weight)
        weights = np.ones(len(table), np.float32) if weight is None else self._weights(table, place, weight)
        targets, missing = self._targets(table, place) if target else (_NO_TARGETS, None)
        columns = [
            self._prepare(column, role, table, Place(where, first_row, column.name), to_score)
            for column, role in zip(self.features, self._roles, strict=True)
        ]
        unseen = self._unseen(columns) if target and not to_score else {}
        located = np.empty((0, 0), np.int64) if self.sparse else locate_numbers(self._plan, self.features, columns)
        return Prepared(len(table), targets, weights, missing, unseen, columns, located)

    def rows(self, prepared: Prepared) -> Rows:
        """Give the rows of prepared values."""
        every = slice(0, prepared.length)
        if self.sparse:
            return self.sparse_rows(prepared, every)
        out = np.empty((prepared.length, self.width), np.float32)
        self.write_rows(prepared, every, np.arange(prepared.length), out)
        return out

    def sparse_rows(self, prepared: Prepared, rows: slice, order: NDArray[np.integer] | None = None) -> SparseRows:
        """Give some of the sparse rows; `order` says which of them each of the result is, if not the same."""
        return sparse_rows(self.features, self._edges, prepared.columns, rows, order)

    def sparse_scores(self, prepared: Prepared, weights: NDArray[np.float32]) -> NDArray[np.float64]:
        """Compute the scores `(n, outputs)` of sparse rows by weights `(width + 1, outputs)`, the intercepts last.

        prepared : values that were prepared to be scored.
        """
        return sparse_scores(self.features, self._edges, prepared.columns, weights, prepared.length)

    def write_rows(
        self,
        prepared: Prepared,
        rows: slice,
        places: NDArray[np.int64],
        out: NDArray[np.float32],
        aside: NDArray[np.float32] | None = None,
    ) -> None:
        """Write some of the dense rows, the i-th of them into row `places[i]` of `out`, which is `(…, width)`.

        A place below zero is one of `aside`: -1 is its first row, -2 the next one. Raises DataError at a number that is
        not finite.
        """
        aside = out if aside is None else aside
        write_dense(self._plan, self.features, prepared.columns, prepared.located, rows, places, out, aside)

    def describe(self) -> list[dict[str, object]]:
        """Say of each column of the data what became of it, for the record."""
        facts = {column.name: {"features": len(column.scale.centre)} | column.describe() for column in self.features}
        return [
            {"name": column.name, "role": str(column.role), "note": column.note, "features": 0}
            | facts.get(column.name, {})
            for column in self.schema.columns
        ]

    def in_data_units(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fold centres, factors and the target's scale into the weights of a linear model.

        `weights` is `(width + 1, outputs)`, the intercept last, and so is the result, but for raw features (in the
        data's units, 1 for a category that is there) and, in regression, for scores in the target's units. Clipping
        apart, `raw @ folded[:-1] + folded[-1]` are the scores; those of positive targets are logarithms of predictions.
        """
        scales = [column.scale for column in self.features]
        centre, factor = (np.concatenate(arrays)[:, None] for arrays in zip(*scales, strict=True))
        slopes = weights[:-1].astype(np.float64) * factor
        intercept = weights[-1].astype(np.float64) - (slopes * centre).sum(axis=0)
        if self.target.positive:
            return np.vstack([slopes, intercept + np.log(self.target.scale)])
        return np.vstack([slopes * self.target.scale, intercept * self.target.scale + self.target.mean])

    def to_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Give everything as a JSON-able dict and named arrays."""
        arrays: dict[str, NDArray[Any]] = {}
        names = ("schema", "sparse", "hash_bits", "features", "target")
        return {name: pack(getattr(self, name), name, arrays) for name in names}, arrays

    @classmethod
    def from_state(cls, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Encoder:
        """Build the encoder that `to_state` described; raises KeyError, TypeError or ValueError at anything else."""
        encoder = cls(**unpacked(meta, cls, arrays))
        require_columns_of(encoder.schema, encoder.features, encoder.classes, encoder.hash_bits)
        return encoder

    def _prepare(self, column: ColumnEncoder, role: Role, table: pa.RecordBatch, place: Place, to_score: bool) -> Any:
        """Convert and check the values of one column."""
        values = in_one_piece(table.column(column.name))
        with fitting(values, place, role):
            return column.to_score(values, place) if to_score else column.prepare(values, place)

    def _unseen(self, columns: list[Any]) -> dict[str, int]:
        """Count the values unlike the sample's, by column where there are any."""
        counts = {column.name: column.unseen(values) for column, values in zip(self.features, columns, strict=True)}
        return {name: count for name, count in counts.items() if count}

    def _require_columns(self, table: pa.RecordBatch, where: str, target: bool, weight: str | None) -> None:
        """Refuse rows that lack a column."""
        wanted = [column.name for column in self.features]
        wanted += [self.schema.named(Role.TARGET) or ""] if target else []
        wanted += [weight] if weight is not None else []
        require_columns(wanted, table.schema.names, where)

    def _targets(self, table: pa.RecordBatch, place: Place) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Give the targets of all rows, and where they are missing."""
        name = self.schema.named(Role.TARGET) or ""
        values, place = in_one_piece(table.column(name)), place._replace(column=name)
        with fitting(values, place, Role.TARGET):
            return self.target.encode(values, place)

    def _weights(self, table: pa.RecordBatch, place: Place, name: str) -> NDArray[np.float32]:
        values, place = in_one_piece(table.column(name)), place._replace(column=name)
        with fitting(values, place, Role.WEIGHT):
            return row_weights(values, place)


_NO_TARGETS = np.empty(0, np.float32)

# What a source of sparse rows says in its schema: how many features there are, and what the first one is called.
_DECLARED = (b"schuss.width", b"schuss.svmlight_base")


def _fit_column(
    role: Role,
    values: pa.Array,
    place: Place,
    declared: Mapping[bytes, int],
    hash_bits: int,
    rows_expected: int | None,
) -> ColumnEncoder:
    """Fit the encoder that the column's role asks for."""
    with fitting(values, place, role):
        match role:
            case Role.NUMBER | Role.BOOLEAN:
                return NumberColumn.fit(values, place, vector=False)
            case Role.VECTOR:
                return NumberColumn.fit(values, place, vector=True)
            case Role.SPARSE:
                return SparseColumn.fit(
                    values, place, declared.get(b"schuss.width"), declared.get(b"schuss.svmlight_base", 0)
                )
            case Role.TEXT:
                return TextColumn.fit(values, place, hash_bits, rows_expected)
            case Role.DATETIME:
                return DateColumn.fit(values, place)
            case _:
                return CategoryColumn.fit(values, place, 1 << hash_bits, rows_expected)
