#!/usr/bin/env python3
"""Oracle of Diagnosing & Re-learning: purities, weights, re-initialised parameters. Writes relearning.json.

Y. Wei, S. Li, R. Feng, D. Hu, "Diagnosing and Re-learning for Balanced Multimodal Learning", ECCV 2024, and the
authors' code. At the end of every `reinit_epoch`-th epoch (20; epochs count from 0, not after epoch 0), at most
`reinit_num` times (3), for each modality:
  features of the whole train split and of the whole validation split, in evaluation mode; each split for itself:
    every column is scaled to [-1, 1] by its own minimum and maximum (a constant column becomes -1)
    k-means with as many clusters as classes
    P = share of the samples whose label is the most frequent one of their cluster
  w = tanh(lambda |P_train - P_validation|), lambda 3
  theta <- w theta_start + (1 - w) theta, for every parameter of the encoder; theta_start: before training
Buffers and the fusion stay. The optimizer's momentum stays in the published code (`kept`); forgetting it is the
other value (`forgotten`).

`diagnosis`: per case `classes`, `lambda`, and per modality `train` and `validation` with `features` [N, d],
`targets`, `scaled`, `clusters` (numbered by their first sample), `centres` (of the scaled features), `inertia`
(sum of squared distances) and `purity`; `w`. The clusters are the best of all partitions, found by trying every
one: `runner_up` is the inertia of the best of the others, and `starts` the share of Lloyd's iterations, begun
at every set of samples, that end there. k-means with several starts has to find them.
  mistake_w_linear (no tanh), mistake_w_train_range (validation scaled by train's minimum and maximum),
  mistake_w_unscaled, mistake_w_signed (P_train - P_validation), mistake_w_same_split (validation = train: 0).
`given`: clusters from given centres: `features`, `centres` (in the scaled space), `targets`, `scaled`, `clusters`,
  `purity`; mistake_purity_number (clusters compared with labels by number).
`lloyd`: `points`, `start`, and the `centres`, `clusters`, `inertia` where Lloyd's iterations from there stop.
`parameters`: `w` [k], `start`, `before`, `after` by name (encoder.M.*, fusion.*; buffers: encoder.M.running_mean),
  mistake_after_swapped (w and 1 - w exchanged), mistake_after_buffers (the buffers moved as well).
`momentum`: one SGD step after it: `rate`, `momentum`, `buffer` before, `gradient`, `kept`, `forgotten`.
`schedule`: `reinit_epoch`, `reinit_num`, `epochs` and the epochs `at` whose end it happens;
  mistake_at (epochs counted from 1).
"""

from itertools import combinations, product

import numpy as np

import store
from numeric import far

SEED = 2407
LAMBDA = 3.0


def scale(x, low=None, high=None):
    low = x.min(axis=0) if low is None else low
    high = x.max(axis=0) if high is None else high
    width = np.where(high > low, high - low, 1.0)
    return 2 * (x - low) / width - 1


def nearest(x, centres):
    return ((x[:, None, :] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)


def inertia(x, clusters):
    return sum(((x[clusters == c] - x[clusters == c].mean(axis=0)) ** 2).sum() for c in set(clusters.tolist()))


def numbered(clusters):
    """The same partition, numbered in the order of the first samples."""
    order = list(dict.fromkeys(clusters.tolist()))
    return np.array([order.index(c) for c in clusters])


def lloyd(x, centres):
    while True:
        clusters = nearest(x, centres)
        moved = np.stack([x[clusters == c].mean(axis=0) if (clusters == c).any() else centres[c]
                          for c in range(len(centres))])
        if np.array_equal(moved, centres):
            return centres, clusters
        centres = moved


def best_partition(x, k):
    """Every partition into at most k clusters: the best one, its inertia, and the second best inertia. By
    sum |x|^2 - sum over clusters of |sum x|^2 / n, so that it shares nothing with inertia()."""
    n = len(x)
    labels = np.array([(0, *rest) for rest in product(range(k), repeat=n - 1)])
    between = np.zeros(len(labels))
    for c in range(k):
        inside = (labels == c).astype(float)
        between += ((inside @ x) ** 2).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
    values = (x**2).sum() - between
    best = labels[values.argmin()]
    runner_up = values[values > values.min() + 1e-9].min()
    return numbered(best), inertia(x, best), runner_up


def purity(targets, clusters):
    right = 0
    for c in set(clusters.tolist()):
        inside = targets[clusters == c].tolist()
        right += max(inside.count(y) for y in inside)
    return right / len(targets)


def split_values(x, targets, classes, scaled=None):
    scaled = scale(x) if scaled is None else scaled
    clusters, value, runner_up = best_partition(scaled, classes)
    centres = np.stack([scaled[clusters == c].mean(axis=0) for c in range(classes)])
    starts = [lloyd(scaled, scaled[list(rows)])[1] for rows in combinations(range(len(x)), classes)]
    found = np.mean([np.array_equal(numbered(end), clusters) for end in starts])
    assert np.array_equal(nearest(scaled, centres), clusters) and runner_up > 1.3 * value and found > 0.55
    return dict(features=x, targets=targets, scaled=scaled, clusters=clusters, centres=centres, inertia=value,
                runner_up=runner_up, starts=found, purity=purity(targets, clusters))


def split(rng, targets, confused, spread, noise):
    """Features whose two small columns tell the classes, and a wide one that does not; the features of the
    samples in `confused` are those of the next class."""
    corners = np.array([[0.0, 0.0], [1.0, 0.1], [0.1, 1.0]])
    shown = np.array([(y + 1) % 3 if i in confused else y for i, y in enumerate(targets)])
    informative = spread * (corners[shown] + 0.05 * rng.standard_normal((len(targets), 2)))
    wide = noise * np.linspace(-0.1, 0.1, len(targets))[rng.permutation(len(targets))]
    wide[[0, 1]] = noise * np.array([-0.5, 0.5])
    return np.column_stack([informative, wide])


def diagnosis(rng, confused):
    """`confused`: per modality, which train and which validation samples."""
    modalities, mistakes = [], {name: [] for name in ("linear", "train_range", "unscaled", "signed")}
    for wrong_train, wrong_validation in confused:
        y_train, y_validation = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2]), np.array([2, 1, 0, 2, 1, 0, 2, 1])
        train = split_values(split(rng, y_train, wrong_train, 1.0, 40.0), y_train, 3)
        validation = split_values(split(rng, y_validation, wrong_validation, 0.2, 30.0), y_validation, 3)
        gap = train["purity"] - validation["purity"]
        modalities.append(dict(train=train, validation=validation, w=np.tanh(LAMBDA * abs(gap))))
        mistakes["linear"].append(LAMBDA * abs(gap))
        mistakes["signed"].append(np.tanh(LAMBDA * gap))

        x_train, x_validation = train["features"], validation["features"]
        by_train = scale(x_validation, x_train.min(axis=0), x_train.max(axis=0))
        other = purity(y_validation, best_partition(by_train, 3)[0])
        mistakes["train_range"].append(np.tanh(LAMBDA * abs(train["purity"] - other)))
        raw = [purity(y, best_partition(x, 3)[0]) for y, x in ((y_train, x_train), (y_validation, x_validation))]
        mistakes["unscaled"].append(np.tanh(LAMBDA * abs(raw[0] - raw[1])))
    w = [one["w"] for one in modalities]
    wrong = {f"mistake_w_{name}": far(values, w) for name, values in mistakes.items()}
    return {"classes": 3, "lambda": LAMBDA, "modalities": modalities, "w": w, **wrong,
            "mistake_w_same_split": far(np.zeros(len(w)), w)}


def given(rng):
    """A constant column; clusters whose number is not their label; an unused class."""
    x = np.column_stack([rng.uniform(0, 5, 10), rng.uniform(-300, -100, 10), np.full(10, 7.0)])
    centres = np.array([[-0.6, 0.4, -1.0], [0.1, -0.5, -1.0], [0.7, 0.5, -1.0]])
    targets = np.array([3, 0, 3, 1, 1, 0, 3, 0, 1, 1])
    scaled = scale(x)
    assert (scaled[:, 2] == -1).all() and scaled[:, :2].min() == -1 and abs(scaled[:, :2].max() - 1) < 1e-15
    clusters = nearest(scaled, centres)
    value = purity(targets, clusters)
    counts = np.array([[((clusters == c) & (targets == y)).sum() for y in range(4)] for c in range(3)])
    assert value == counts.max(axis=1).sum() / 10
    return dict(features=x, centres=centres, targets=targets, scaled=scaled, clusters=clusters, purity=value,
                mistake_purity_number=far((clusters == targets).mean(), value).item())


def iterations(rng):
    points = rng.standard_normal((12, 2)) + np.repeat([[0, 0], [3, 1], [1, 4]], 4, axis=0)
    start = points[[0, 1, 4]]
    centres, clusters = lloyd(points, start)
    assert not np.array_equal(nearest(points, start), clusters), "at least one iteration moves a sample"
    return dict(points=points, start=start, centres=centres, clusters=clusters, inertia=inertia(points, clusters))


def parameters(rng):
    w = [0.75, 0.2]
    shapes = {"encoder.0.weight": (2, 3), "encoder.0.bias": (2,), "encoder.0.running_mean": (2,),
              "encoder.1.weight": (3, 2), "encoder.1.bias": (3,), "fusion.weight": (2, 5), "fusion.bias": (2,)}
    start = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    before = {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def moved(name, factor):
        return before[name] - factor * (before[name] - start[name])

    after, swapped, buffers = {}, {}, {}
    for name in shapes:
        encoder = name.startswith("encoder")
        m = int(name.split(".")[1]) if encoder else -1
        learned = encoder and not name.endswith("running_mean")
        after[name] = moved(name, w[m]) if learned else before[name]
        swapped[name] = moved(name, 1 - w[m]) if learned else before[name]
        buffers[name] = moved(name, w[m]) if encoder else before[name]
        if learned:
            np.testing.assert_allclose(after[name], w[m] * start[name] + (1 - w[m]) * before[name], atol=1e-15)
            far(swapped[name], after[name])
    far(buffers["encoder.0.running_mean"], after["encoder.0.running_mean"])
    return dict(w=w, start=start, before=before, after=after, mistake_after_swapped=swapped,
                mistake_after_buffers=buffers)


def momentum(rng, theta):
    """v <- momentum v + g; theta <- theta - rate v. A forgotten state starts with v = g."""
    rate, factor = 0.1, 0.9
    buffer, g = rng.standard_normal((2, *theta.shape))
    kept, forgotten = theta - rate * (factor * buffer + g), theta - rate * g
    far(kept, forgotten)
    return dict(rate=rate, momentum=factor, before=theta, buffer=buffer, gradient=g, kept=kept, forgotten=forgotten)


def schedule(every, times, epochs):
    at = [epoch for epoch in range(epochs) if epoch > 0 and epoch % every == 0][:times]
    wrong = [epoch for epoch in range(epochs) if (epoch + 1) % every == 0][:times]
    assert at != wrong
    return dict(reinit_epoch=every, reinit_num=times, epochs=epochs, at=at, mistake_at=wrong)


def main():
    rng = np.random.default_rng(SEED)
    # The second modality's validation purity is the greater one.
    cases = {"two": diagnosis(rng, [((), (2, 7, 3)), ((3, 4), (0,))]),
             "three": diagnosis(rng, [((8,), (2, 7, 3)), ((3, 4), (0,)), ((), (6,))])}
    moved = parameters(rng)
    store.write(__file__, dict(
        seed=SEED, diagnosis=cases, given=given(rng), lloyd=iterations(rng), parameters=moved,
        momentum=momentum(rng, moved["after"]["encoder.0.weight"]),
        schedule=[schedule(20, 3, 90), schedule(4, 2, 12), schedule(5, 3, 11)]))
    for name, case in cases.items():
        for one in case["modalities"]:
            print(name, *(f"{s}: P {one[s]['purity']:.4f} inertia {one[s]['inertia']:.3f} next "
                          f"{one[s]['runner_up']:.3f} starts {one[s]['starts']:.2f}" for s in ("train", "validation")),
                  "w", one["w"])
        print(name, {key: np.round(value, 3).tolist() for key, value in case.items() if key.startswith("mistake")})


if __name__ == "__main__":
    main()
