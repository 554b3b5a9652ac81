#!/usr/bin/env python3
"""Oracle of MSES: when each modality is frozen and which snapshot comes back. Writes mses.json.

N. Fujimori et al., "Modality-Specific Learning Rate Control for Multimodal Classification", ACPR 2019, as
AGM's authors run it (AGM_ICCV2023). Epochs from 0; at the end of epoch e:
  L_m(e) = mean cross-entropy of modality m's share over the validation split
  l_m(0) = L_m(0),  l_m(e) = 0.6 L_m(e - 1) + 0.4 L_m(e)     the epoch before as it was, not smoothed
  1. for every m: if l_m(e) is smaller than every earlier one (strictly; e = 0 always), best_m = e, and the
     whole model and the optimiser's state are kept as the snapshot of m.
  2. for m = 0, 1, ...: if m is not frozen and e - best_m > patience, m is frozen (encoder m and head m are
     updated no more) and the snapshot of m comes back: all modalities' weights and their optimiser state.
  3. when every modality is frozen, training stops.
l and best go on as they are after a snapshot has come back, and modalities stay frozen. A common bias is
never frozen.
Deviations from the authors' code: the first epoch is kept, too (theirs does not keep it, and
where it is the best one crashes or keeps the present weights); a frozen modality stands still (theirs has a
gradient of 0, so momentum and weight decay move it on); L is the mean over samples (theirs over batches).

`cases`: `patience`, `losses` [E, k] (L), `smoothed` [E, k], `best` [E, k], `frozen` [E, k] after that epoch,
`restored` [E] (the epoch whose snapshot came back, -1: none), `trained` [E, k]: in how many epochs the
weights that modality m has after that epoch were updated, which is what a parameter with a constant gradient
counts; `frozen_at` [k] (-1: never), `stopped_at`. Rows end where training stops.
Mistakes (`frozen_at` unless said): `mistake_smoothed_twice`: l = 0.6 l(e - 1) + 0.4 L(e).
`mistake_not_smoothed`. `mistake_at_patience`: frozen at e - best_m >= patience. `mistake_ties`: an equal loss
counts as better (case `tie`).
`mistake_parts_only` (case `two`): `trained` when only modality m's own parts come back.
`loss`: `shares` [N, C], `targets` [N], `batches` (sizes), `mean` L, `mistake_sum` over batches,
`mistake_batch_mean`.
"""

import numpy as np

import store
from checks import differs
from numeric import cross_entropy

SEED = 2019
OLD, NEW = 0.6, 0.4


def smooth(losses):
    smoothed = losses.copy()
    smoothed[1:] = OLD * losses[:-1] + NEW * losses[1:]
    return smoothed


def smooth_twice(losses):
    smoothed = losses.copy()
    for e in range(1, len(losses)):
        smoothed[e] = OLD * smoothed[e - 1] + NEW * losses[e]
    return smoothed


def run(losses, patience, smoothing=smooth, at_patience=False, ties=False, parts_only=False):
    """Epoch by epoch as the rule says. The model is the count of epochs that updated each modality."""
    smoothed = smoothing(losses)
    epochs, k = losses.shape
    model, snapshots = [0] * k, [None] * k
    lowest, best, frozen = [np.inf] * k, [-1] * k, [False] * k
    rows = dict(best=[], frozen=[], restored=[], trained=[])
    frozen_at, stopped_at = [-1] * k, -1
    for e in range(epochs):
        model = [count + (not done) for count, done in zip(model, frozen)]
        for m in range(k):
            if smoothed[e, m] < lowest[m] or (ties and smoothed[e, m] == lowest[m]):
                lowest[m], best[m], snapshots[m] = smoothed[e, m], e, list(model)
        restored = -1
        for m in range(k):
            waited = e - best[m]
            if not frozen[m] and (waited >= patience if at_patience else waited > patience):
                frozen[m], frozen_at[m], restored = True, e, best[m]
                if parts_only:
                    model[m] = snapshots[m][m]
                else:
                    model = list(snapshots[m])
        for name, value in (("best", best), ("frozen", frozen), ("trained", model)):
            rows[name].append(list(value))
        rows["restored"].append(restored)
        if all(frozen):
            stopped_at = e
            break
    end = len(rows["best"])
    return dict(k=k, patience=patience, losses=losses[:end], smoothed=smoothed[:end], **rows,
                frozen_at=frozen_at, stopped_at=stopped_at)


def frozen_directly(smoothed, patience):
    """For each modality alone: the first epoch whose lowest loss so far lies more than `patience` back."""
    result = []
    for one in smoothed.T:
        late = [e for e in range(len(one)) if e - int(np.argmin(one[:e + 1])) > patience]
        result.append(late[0] if late else -1)
    return result


def case(losses, patience):
    losses = np.array(losses, float)
    result = run(losses, patience)
    assert result["frozen_at"] == frozen_directly(smooth(losses), patience)
    return result


def with_mistakes(losses, patience):
    result = case(losses, patience)
    losses = np.array(losses, float)
    result["mistake_smoothed_twice"] = run(losses, patience, smoothing=smooth_twice)["frozen_at"]
    result["mistake_not_smoothed"] = run(losses, patience, smoothing=np.array)["frozen_at"]
    result["mistake_at_patience"] = run(losses, patience, at_patience=True)["frozen_at"]
    for name in ("smoothed_twice", "not_smoothed", "at_patience"):
        assert result["mistake_" + name] != result["frozen_at"], name
    return result


def valleys(rng, bottoms, epochs, noise):
    """Loss curves with their lowest points at the epochs `bottoms`, steeper before than after."""
    distance = np.arange(epochs)[:, None] - np.array(bottoms)
    return 0.4 + np.where(distance < 0, -0.12, 0.03) * distance + noise * rng.random((epochs, len(bottoms)))


def loss(rng):
    shares, targets, batches = rng.standard_normal((7, 3)), rng.integers(0, 3, 7), [3, 3, 1]
    shares[-1, targets[-1]] -= 4
    edges = np.cumsum([0, *batches])
    parts = [cross_entropy(shares[a:b], targets[a:b]) for a, b in zip(edges, edges[1:])]
    mean = cross_entropy(shares, targets)
    assert abs(np.average(parts, weights=batches) - mean) < 1e-14
    assert differs(np.mean(parts), mean) and differs(np.sum(parts), mean)
    return dict(shares=shares, targets=targets, batches=batches, mean=mean, mistake_sum=np.sum(parts),
                mistake_batch_mean=np.mean(parts))


def main():
    rng = np.random.default_rng(SEED)
    # Modality 0 is frozen first and goes back to its best epoch; when modality 1's later snapshot comes back,
    # it brings modality 0's weights of that epoch along.
    two = with_mistakes(valleys(rng, [2, 5], 16, 0.05), 3)
    assert two["frozen_at"][0] < two["frozen_at"][1] == two["stopped_at"]
    two["mistake_parts_only"] = run(two["losses"], 3, parts_only=True)["trained"]
    assert two["mistake_parts_only"] != two["trained"]
    assert two["trained"][-1][0] == two["trained"][-1][1] == two["best"][-1][1] + 1
    swapped = case(two["losses"][:, ::-1].copy(), 3)
    assert swapped["frozen_at"] == two["frozen_at"][::-1]

    # The losses of modality 1 go on falling, also while modality 0 waits: only 0 and 2 are frozen.
    falling = valleys(rng, [4, 0, 1], 12, 0.05)
    falling[:, 1] = 1.5 - 0.1 * np.arange(12)
    three = with_mistakes(falling, 2)
    assert three["stopped_at"] == -1 and three["frozen_at"][1] == -1 and min(three["frozen_at"][::2]) > 0

    tie = case(np.ones((7, 2)), 4)
    assert tie["frozen_at"] == [5, 5] and tie["restored"][-1] == 0 and tie["trained"][-1] == [1, 1]
    tie["mistake_ties"] = run(np.ones((7, 2)), 4, ties=True)["frozen_at"]
    assert tie["mistake_ties"] == [-1, -1]
    never = case(1.2 - 0.05 * np.arange(8)[:, None] * [1, 2], 1)
    assert never["frozen_at"] == [-1, -1] and never["trained"][-1] == [8, 8]

    cases = dict(two=two, swapped=swapped, three=three, tie=tie, never=never)
    store.write(__file__, dict(seed=SEED, old=OLD, new=NEW, cases=cases, loss=loss(rng)))
    for name, one in (("two", two), ("three", three), ("tie", tie)):
        print(name, "frozen", one["frozen_at"], "restored", one["restored"], "trained", one["trained"][-1],
              {key: one[key] for key in one if key.startswith("mistake") and "parts" not in key})


if __name__ == "__main__":
    main()
