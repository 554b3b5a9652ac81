#!/usr/bin/env python3
"""Oracle of PMR's prototypes, slow modality, loss and gradients. Writes pmr.json.

Y. Fan, W. Xu, H. Wang, J. Wang, S. Guo, "PMR: Prototypical Modal Rebalance for Multimodal Learning", CVPR
2023, and the authors' code (Modal-Imbalance-PMR). Before each epoch, with the features f_m of about a tenth
of the training batches (max(1, batches // 10)), in evaluation mode:
  n_m^y = mean of f_m over the samples of class y, each sample once
  c_m^y = n_m^y in epochs 0 and 1, then (1 - mu) n_m^y + mu c_m^y      mu: 0.2 in the authors' code
A class that the pass has not met keeps its prototype, which is 0 before the first (ours; theirs is NaN).
In every step:
  d_m   = -|f_m - c_m^y|_2 for every class y, not squared                                   [B, C]
  s_m   = sum over the batch of softmax(d_m)[target]
  loss  = CE(z) + alpha sum over slow m of CE(d_m)      slow: s_m < mean_n s_n (k = 2: the smaller)
No gradient flows into prototypes or s. Where f_m is its prototype the distance has the gradient 0. For k > 2
the rule is ours; equal modalities have no slow one.
The authors restart the average in epoch 1, so that the untrained network's prototypes do not stay in it;
BalanceMM does not: `average_from` 2 and 1.

`prototypes`: passes with `labels` [N], `features` (per modality [N, d_m]), `batches`; per pass `new` (only
classes met: others 0) and `counts` [C], `average_from_2` and `average_from_1`: the prototypes per modality
[C, d_m].
Mistakes of the last pass: `mistake_mu_on_new`; `mistake_batch_means`: mean over batches of class means.
`batches`: number of batches of an epoch and how many the pass takes.
`steps`: `features` per modality [B, d_m], `prototypes`, `W` per modality [C, d_m] and `b` of
z = sum_m f_m W_m^T + b, `targets`, `alpha`, `d`, `s`, `slow` [k], `losses` [k] (CE(d_m)), `loss`,
`feature_gradients`, `W_gradients`.
Mistakes: `mistake_fast`: the loss with the fast modalities' CE; `mistake_squared`: the loss with squared
distances; `mistake_all`: with all modalities'.
"""

import numpy as np

import store
from checks import differs, slopes
from numeric import cross_entropy, cross_entropy_gradient, softmax

SEED = 2023
C = 4
MU = 0.2


# ----- prototypes

def class_means(features, labels):
    """Sample by sample: means [C, d] (0 where there is none) and counts."""
    sums, counts = np.zeros((C, features.shape[1])), np.zeros(C, int)
    for f, y in zip(features, labels):
        sums[y] += f
        counts[y] += 1
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], 0.0), counts


def averaged(passes, modality, average_from, mu=MU):
    """The prototypes of one modality after each pass."""
    kept, result = None, []
    for epoch, one in enumerate(passes):
        new, counts = class_means(one["features"][modality], one["labels"])
        if kept is None:
            kept = np.zeros_like(new)
        updated = new if epoch < average_from else (1 - mu) * new + mu * kept
        kept = np.where(counts[:, None] > 0, updated, kept)
        result.append(kept)
    return result


def unrolled(passes, modality, average_from, mu=MU):
    """The last prototypes as one weighted sum, for passes that meet every class."""
    means = [class_means(one["features"][modality], one["labels"])[0] for one in passes]
    first = average_from - 1
    total = mu ** (len(means) - 1 - first) * means[first]
    for i in range(first + 1, len(means)):
        total = total + (1 - mu) * mu ** (len(means) - 1 - i) * means[i]
    return total


def batch_means(features, labels, batches):
    edges = np.cumsum([0, *batches])
    parts = [class_means(features[a:b], labels[a:b]) for a, b in zip(edges, edges[1:])]
    met = np.maximum(sum((counts > 0).astype(int) for _, counts in parts), 1)
    return sum(means for means, _ in parts) / met[:, None]


def passes(rng, missing=None):
    """Four passes over 9 samples in batches of 4, 4 and 1; in pass 0 and 2 the class `missing` is not met."""
    widths, centres, result = (3, 2), [rng.standard_normal((C, d)) for d in (3, 2)], []
    for epoch in range(4):
        labels = rng.permutation(C)[[0, 0, 0, 1, 0, 1, 2, 3, 2]]  # the first class unevenly over the batches
        if missing is not None and epoch % 2 == 0:
            labels[labels == missing] = (missing + 1) % C
        features = [(1 + 0.5 * epoch) * centre[labels] + 1.5 * rng.standard_normal((9, d))
                    for centre, d in zip(centres, widths)]
        result.append(dict(labels=labels, features=features, batches=[4, 4, 1]))
    return result


def prototypes(rng, missing=None):
    stored = passes(rng, missing)
    for m in range(2):
        for start in (2, 1):
            values = averaged(stored, m, start)
            if missing is None:
                np.testing.assert_allclose(values[-1], unrolled(stored, m, start), rtol=0, atol=1e-13)
            for one, value in zip(stored, values):
                one.setdefault(f"average_from_{start}", []).append(value)
        for one in stored:
            new, counts = class_means(one["features"][m], one["labels"])
            one.setdefault("new", []).append(new)
            one["counts"] = counts
    last, before = stored[-1], stored[-2]["average_from_2"]
    last["mistake_mu_on_new"] = [MU * new + (1 - MU) * old for new, old in zip(last["new"], before)]
    last["mistake_batch_means"] = [(1 - MU) * batch_means(f, last["labels"], last["batches"]) + MU * old
                                   for f, old in zip(last["features"], before)]
    if missing is None:
        assert differs(last["average_from_1"][0], last["average_from_2"][0], 0.001)
        for name in ("mistake_mu_on_new", "mistake_batch_means"):
            for wrong, right in zip(last[name], last["average_from_2"]):
                assert differs(wrong, right), name
    else:
        assert not stored[0]["average_from_2"][0][missing].any()
        kept = [one["average_from_2"][0][missing] for one in stored]
        assert np.array_equal(kept[2], kept[1])
        del last["mistake_mu_on_new"], last["mistake_batch_means"]
    return dict(mu=MU, passes=stored)


# ----- steps

def distances(features, prototype):
    """-|f - c| [B, C], and the unit vectors from c to f [B, C, d], 0 where the two are one."""
    difference = features[:, None, :] - prototype[None, :, :]
    norm = np.sqrt((difference**2).sum(axis=2))
    return -norm, difference / np.where(norm > 0, norm, 1)[:, :, None]


def evaluate(features, protos, targets, w, b, alpha, chosen=None, power=1):
    """The loss; `chosen` modalities instead of the slow ones."""
    d = [-((-distances(f, c)[0]) ** power) for f, c in zip(features, protos)]
    s = np.array([softmax(one)[np.arange(len(targets)), targets].sum() for one in d])
    slow = s < s.mean() if chosen is None else chosen
    logits = sum(f @ weight.T for f, weight in zip(features, w)) + b
    losses = np.array([cross_entropy(one, targets) for one in d])
    return dict(d=d, s=s, slow=slow, losses=losses, logits=logits,
                loss=cross_entropy(logits, targets) + alpha * losses[slow].sum())


def step(features, protos, targets, w, b, alpha=1.0):
    result = evaluate(features, protos, targets, w, b, alpha)
    slow = result["slow"]
    common = cross_entropy_gradient(result["logits"], targets)
    feature_gradients = []
    for f, c, weight, is_slow, d in zip(features, protos, w, slow, result["d"]):
        gradient = common @ weight
        if is_slow:  # d CE / d d_m, and d d_m / d f = -unit vector
            units = distances(f, c)[1]
            gradient = gradient - alpha * np.einsum("bc,bcd->bd", cross_entropy_gradient(d, targets), units)
        feature_gradients.append(gradient)
        found = slopes(lambda: evaluate(features, protos, targets, w, b, alpha, slow)["loss"], f)
        np.testing.assert_allclose(found, gradient, rtol=0, atol=1e-7)
    stored = dict(k=len(features), features=features, prototypes=protos, W=w, b=b, targets=targets,
                  alpha=alpha, d=result["d"], s=result["s"], slow=[bool(one) for one in slow],
                  losses=result["losses"], logits=result["logits"], loss=result["loss"],
                  feature_gradients=feature_gradients,
                  W_gradients=[common.T @ f for f in features])
    if slow.any():
        everyone = np.ones(len(slow), bool)
        stored["mistake_fast"] = evaluate(features, protos, targets, w, b, alpha, ~slow)["loss"]
        stored["mistake_all"] = evaluate(features, protos, targets, w, b, alpha, everyone)["loss"]
        stored["mistake_squared"] = evaluate(features, protos, targets, w, b, alpha, slow, 2)["loss"]
        for name in ("mistake_fast", "mistake_all", "mistake_squared"):
            assert differs(stored[name], stored["loss"], 0.003), name
    return stored


def around(rng, protos, targets, spread):
    """Features around their class's prototype; a modality with a small spread is sure of its classes."""
    return [c[targets] + size * rng.standard_normal((len(targets), c.shape[1]))
            for c, size in zip(protos, spread)]


def steps(rng, batch=6):
    def random(k):
        widths = (3, 2, 4)[:k]
        return ([2 * rng.standard_normal((C, d)) for d in widths],
                [rng.standard_normal((C, d)) for d in widths],
                rng.standard_normal(C), rng.integers(0, C, batch))

    protos, w, b, targets = random(2)
    first = step(around(rng, protos, targets, (2.5, 0.7)), protos, targets, w, b)
    second = step(around(rng, protos, targets, (0.7, 2.5)), protos, targets, w, b, 0.6)
    swapped = step(first["features"][::-1], protos[::-1], targets, w[::-1], b)
    assert first["slow"] == [True, False] == second["slow"][::-1] == swapped["slow"][::-1]
    assert abs(first["loss"] - swapped["loss"]) < 1e-14

    twin = around(rng, protos, targets, (1.0, 1.0))[0]
    equal = step([twin, twin.copy()], [protos[0], protos[0]], targets, [w[0], -0.5 * w[0]], b)
    assert equal["slow"] == [False, False] and equal["loss"] == cross_entropy(equal["logits"], targets)

    protos, w, b, targets = random(3)
    three = step(around(rng, protos, targets, (2.0, 0.5, 2.5)), protos, targets, w, b)
    assert three["slow"] == [True, False, True]

    protos, w, b, targets = random(2)
    features = around(rng, protos, targets, (2.5, 0.7))
    features[0][2] = protos[0][targets[2]]
    features[0][3] = protos[0][(targets[3] + 1) % C]
    at_prototype = step(features, protos, targets, w, b)
    assert at_prototype["slow"][0] and (at_prototype["d"][0] == 0).sum() == 2
    return dict(first_slow=first, second_slow=second, swapped=swapped, equal=equal, three=three,
                at_prototype=at_prototype)


def main():
    rng = np.random.default_rng(SEED)
    stored = dict(every_class=prototypes(rng), missing_class=prototypes(rng, missing=2))
    counts = [dict(batches=n, taken=max(1, n // 10)) for n in (1, 5, 10, 19, 20, 105)]
    cases = steps(rng)
    store.write(__file__, dict(seed=SEED, prototypes=stored, batches=counts, steps=cases))
    for name, case in cases.items():
        print(name, "s", case["s"], "slow", case["slow"], "losses", case["losses"], "loss", case["loss"],
              {key: case[key] for key in case if key.startswith("mistake")})


if __name__ == "__main__":
    main()
