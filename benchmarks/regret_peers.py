"""The peers of the regret benchmark at their defaults, all on the rows and standardised targets that schuss encodes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from regret_experts import LEVELS, Setting, learn, mean_losses
from regret_rows import Encoded, matrix
from regret_sets import SHARES
from scipy.special import log_expit
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
)

from schuss.data.chunk import Chunk, take

Scorer = Callable[[Chunk], np.ndarray]


class Task(NamedTuple):
    """What a peer is given: encoded rows, a seed, and the seconds it may take if it can be told."""

    encoded: Encoded
    seed: int
    seconds: float

    @property
    def is_regression(self) -> bool:
        """Whether numbers are predicted."""
        return self.encoded.encoder.classes is None

    @property
    def products(self) -> float:
        """Numbers of the rows times outputs: the work of one pass."""
        rows = matrix(self.encoded.given)
        return (rows.size if isinstance(rows, np.ndarray) else rows.nnz) * self.encoded.outputs


class Peer(NamedTuple):
    """How a peer trains: gives a function from rows to scores; suits : whether it is for these data at all."""

    train: Callable[[Task], Scorer]
    suits: Callable[[Task], bool]


def one_against_rest(margins: np.ndarray) -> np.ndarray:
    """Turn margins of one class against the rest `(rows, classes)` into scores of softmax: σ(m), made to sum to one."""
    return log_expit(margins)


def fit_sklearn(make: Callable[[Task], Any], task: Task) -> Scorer:
    """Fit an estimator of scikit-learn."""
    chunk = task.encoded.given
    estimator = make(task).fit(matrix(chunk), chunk.targets)

    def score(rows: Chunk) -> np.ndarray:
        if task.is_regression:
            return estimator.predict(matrix(rows))[:, None]
        margins = estimator.decision_function(matrix(rows))
        if margins.ndim == 1:
            return margins[:, None]
        return one_against_rest(margins) if isinstance(estimator, SGDClassifier) else margins

    return score


def sgd(task: Task) -> Any:
    """Give scikit-learn's stochastic gradient descent."""
    if task.is_regression:
        return SGDRegressor(random_state=task.seed)
    return SGDClassifier(loss="log_loss", random_state=task.seed)


def full_batch(task: Task) -> Any:
    """Give scikit-learn's full-batch linear model."""
    return Ridge() if task.is_regression else LogisticRegression()


def cross_validated(task: Task) -> Any:
    """Give scikit-learn's full-batch linear model that chooses its penalty by folds."""
    return (
        RidgeCV(alphas=np.geomspace(1e-3, 1e3, 7))
        if task.is_regression
        else LogisticRegressionCV(use_legacy_attributes=False, scoring="neg_log_loss")
    )


def fit_lbfgs(task: Task) -> Scorer:
    """Solve for the penalties by SciPy's L-BFGS, choose one by validation, and solve for it again from all rows."""
    encoded, whole = task.encoded, task.encoded.given
    cut = round(len(whole.targets) * SHARES[0] / SHARES[1])
    train, validation = (take(whole, part) for part in np.split(np.arange(len(whole.targets)), [cut]))
    penalties = [Setting("lbfgs", 0.0, "", level) for level in LEVELS]
    first = encoded._replace(given=train)
    best = penalties[int(np.argmin(mean_losses(learn(penalties, first, 0), first, validation)))]
    return partial(encoded.scores, learn([best], encoded, 0)[best])


def fit_liblinear(task: Task) -> Scorer:
    """Fit LIBLINEAR: logistic regression (-s 0), or support vector regression (-s 11)."""
    from liblinear import liblinear, liblinearutil

    chunk, encoded = task.encoded.given, task.encoded
    problem = liblinear.problem(chunk.targets.astype(np.float64), _csr(chunk), bias=1)
    parameter = liblinear.parameter(f"-s {11 if task.is_regression else 0} -B 1 -q")
    model = liblinearutil.train(problem, parameter)
    single = encoded.outputs == 1
    places = [0] if single else np.argsort(model.get_labels()).tolist()
    slopes, intercepts = zip(*(model.get_decfun(place) for place in places), strict=True)
    slopes, intercepts = np.array(slopes).T, np.array(intercepts)
    negated = not task.is_regression and single and model.get_labels()[0] == 0

    def score(rows: Chunk) -> np.ndarray:
        margins = matrix(rows) @ slopes + intercepts
        return one_against_rest(margins) if not single else -margins if negated else margins

    return score


def _csr(chunk: Chunk) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix(matrix(chunk).astype(np.float64))


def fit_vw(options: str, task: Task) -> Scorer:
    """Fit Vowpal Wabbit over its cache, with as many passes as the time allows; its own early end stays on."""
    from vowpalwabbit import Workspace

    outputs = task.encoded.outputs
    kind = "" if task.is_regression else "--loss_function logistic"
    if outputs > 1:
        kind += f" --oaa {outputs} --probabilities"
    with tempfile.TemporaryDirectory(prefix="schuss-vw-") as folder:
        text = Path(folder) / "rows.vw"
        text.write_text("\n".join(vw_lines(task.encoded.given, task)) + "\n")
        common = f"{options} {kind} -b {max(18, int(np.ceil(np.log2(task.encoded.encoder.width + 2))))} --quiet"
        begun = time.process_time()
        Workspace(f"{common} -d {text} -c -k --passes 1").finish()
        passes = int(np.clip(task.seconds / (time.process_time() - begun), 1, 100))
        model = Workspace(f"{common} -d {text} -c -k --passes {passes}")

    def score(rows: Chunk) -> np.ndarray:
        found = np.array([model.predict(line) for line in vw_lines(rows, task, labels=False)], np.float64)
        return found[:, None] if outputs == 1 else np.log(np.maximum(found, 1e-15))

    return score


def vw_lines(chunk: Chunk, task: Task, *, labels: bool = True) -> list[str]:
    """Write rows as Vowpal Wabbit's text."""
    rows = _csr(chunk)
    words = [f"{index}:{value:.6g}" for index, value in zip(rows.indices, rows.data, strict=True)]
    ends = rows.indptr
    if task.is_regression:
        names = [f"{target:.7g}" for target in chunk.targets]
    elif task.encoded.outputs == 1:
        names = ["1" if target else "-1" for target in chunk.targets]
    else:
        names = [str(target + 1) for target in chunk.targets]
    return [f"{name if labels else ''} | {' '.join(words[ends[at] : ends[at + 1]])}" for at, name in enumerate(names)]


def fit_torch(name: str, task: Task) -> Scorer:
    """Train in torch for the seconds that the default took, with mini-batches of 32 from zero weights."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(task.seed)
    encoded = task.encoded
    rows = torch.from_numpy(np.ascontiguousarray(encoded.given.rows))
    targets = torch.from_numpy(encoded.given.targets.astype(np.int64 if encoded.outputs > 1 else np.float32))
    model = torch.nn.Linear(rows.shape[1], encoded.outputs)
    torch.nn.init.zeros_(model.weight), torch.nn.init.zeros_(model.bias)
    rule, annealed = torch_rule(name, model)
    first = rule.param_groups[0]["lr"]
    begun, done = time.process_time(), 0.0
    while done < 1.0:
        for batch in torch.randperm(len(rows)).split(32):
            scores = model(rows[batch])
            if encoded.outputs > 1:
                loss = torch.nn.functional.cross_entropy(scores, targets[batch])
            elif task.is_regression:
                loss = torch.nn.functional.mse_loss(scores[:, 0], targets[batch]) / 2
            else:
                loss = torch.nn.functional.binary_cross_entropy_with_logits(scores[:, 0], targets[batch])
            rule.zero_grad()
            loss.backward()
            rule.step()
            done = (time.process_time() - begun) / task.seconds
            if annealed:
                rule.param_groups[0]["lr"] = first * (1 + np.cos(np.pi * min(done, 1.0))) / 2
            if done >= 1.0:
                break
    if hasattr(rule, "eval"):
        rule.eval()
    weights = np.vstack([model.weight.detach().numpy().T, model.bias.detach().numpy()])
    return partial(encoded.scores, weights)


def torch_rule(name: str, model: Any) -> tuple[Any, bool]:
    """Give an optimizer that needs no rate, by its authors' package, and whether a cosine is to anneal its rate."""
    if name == "prodigy":
        from prodigyopt import Prodigy

        return Prodigy(model.parameters()), True
    if name == "dadapt":
        from dadaptation import DAdaptAdam

        return DAdaptAdam(model.parameters()), True
    from schedulefree import AdamWScheduleFree

    rule = AdamWScheduleFree(model.parameters())
    rule.train()
    return rule, False


def always(task: Task) -> bool:
    """Suit all data."""
    return True


def dense(task: Task) -> bool:
    """Suit dense rows."""
    return isinstance(task.encoded.given.rows, np.ndarray)


def not_huge(task: Task) -> bool:
    """Suit what folds of full-batch solves finish in minutes."""
    return task.is_regression or task.products < 1e7


def written_fast(task: Task) -> bool:
    """Suit what can be written as text in a minute."""
    return task.products < 3e7


PEERS = {
    "L-BFGS path": Peer(fit_lbfgs, always),
    "sklearn SGD": Peer(partial(fit_sklearn, sgd), always),
    "sklearn full batch": Peer(partial(fit_sklearn, full_batch), always),
    "sklearn CV": Peer(partial(fit_sklearn, cross_validated), not_huge),
    "LIBLINEAR": Peer(fit_liblinear, always),
    "VW": Peer(partial(fit_vw, ""), written_fast),
    "VW --coin": Peer(partial(fit_vw, "--coin"), written_fast),
    "Prodigy": Peer(partial(fit_torch, "prodigy"), dense),
    "D-Adaptation Adam": Peer(partial(fit_torch, "dadapt"), dense),
    "schedule-free AdamW": Peer(partial(fit_torch, "schedulefree"), dense),
}
