#!/usr/bin/env python3
"""Oracle of modality valuation: contributions, repeated samples, resampling. Writes valuation.json.

Y. Wei, R. Feng, Z. Wang, D. Hu, "Enhancing Multimodal Cooperation via Sample-level Modality Valuation", CVPR 2024,
and the authors' code. After every epoch from `warmup` - 1 on (epochs count from 0, warmup 5) the whole train split
is evaluated with every subset S of the modalities; the next epoch is trained on the new list.
  v(S)  = |S| where the model that sees only S is right about the sample, else 0; v(empty) = 0
  phi_m = Shapley value of modality m for this sample; for two: phi_a = (v(a) + v(av) - v(v)) / 2
Sample level: the list has every sample once with all modalities, and c(phi_m) more times with modality m alone,
  c = 1 where 0.4 < phi < 0.9, 2 where -0.1 < phi < 0.4, 3 where phi < -0.1, else 0
0.9 is the published code's; other texts say 1. They part for 11/12 only, which needs four modalities. A sum of
rounded thirds misses phi = 1: take integer numerators and divide once.
Modality level: ids are drawn from the N samples with replacement, int(0.2 N) of them; over these
  gap_m = 1 - mean phi_m,  x = 2/3 |gap_a - gap_v|
  number = int(f(x) N), f = alpha x (linear), tanh(alpha x) (tanh) or alpha x^1.5 (square)
`number` more ids are drawn with replacement from all samples and appended with the modality of the greater gap
alone. For more than two modalities |gap_a - gap_v| becomes here the largest minus the smallest gap (own extension).

The published code zeroes the features of absent modalities, after the encoder.

`sample_level`: per case `correct` [2^k - 1, N] (row S - 1 holds subset S, bit m: modality m), `phi` [k, N], `copies`
[k, N], `copies_below_one` (with 1 for 0.9), and `plan`, sorted rows (id, modalities present as a bit mask, times).
  mistake_phi_cached (`batch` samples at a time; the results of the first batch used for every batch: k = 2),
  mistake_copies_unweighted (v without |S|, same thresholds), mistake_plan_others (the other modalities shown).
`modality_level`: per case `correct`, `chosen` ids, `mean_phi` and `gap` [k], `present` (bit mask), and `draws`:
`function`, `alpha`, `number`. In the cases `uniform_*` all samples are alike, so that any choice gives the same.
  mistake_present (the greater contribution), and per draw mistake_number_doubled (the sum over ordered pairs in
  place of one difference, as in BalanceBenchmark), mistake_number_all (gaps over all samples).
"""

from fractions import Fraction
from itertools import product
from math import factorial

import numpy as np

import agm_formulas
import store
from numeric import close, far

SEED = 5


def numerators(correct, weighted=True):
    """k! phi [k, N], integers, by the sum over the subsets without m."""
    rows, samples = correct.shape
    k = (rows + 1).bit_length() - 1
    size = [bin(mask).count("1") for mask in range(rows + 1)]
    value = np.zeros((rows + 1, samples), dtype=int)
    for mask in range(1, rows + 1):
        value[mask] = (size[mask] if weighted else 1) * correct[mask - 1]
    total = np.zeros((k, samples), dtype=int)
    for m in range(k):
        for mask in range(rows + 1):
            if not mask >> m & 1:
                total[m] += factorial(size[mask]) * factorial(k - size[mask] - 1) * (value[mask | 1 << m] - value[mask])
    return total


def contributions(correct, weighted=True):
    total = numerators(correct, weighted)
    return total / factorial(len(total))


def copies(correct, top, weighted=True):
    """Compared as fractions, so that no rounding decides."""
    total = numerators(correct, weighted)
    k = len(total)

    def count(numerator):
        phi = Fraction(int(numerator), factorial(k))
        if Fraction(4, 10) < phi < top:
            return 1
        if Fraction(-1, 10) < phi < Fraction(4, 10):
            return 2
        return 3 if phi < Fraction(-1, 10) else 0

    return np.array([[count(n) for n in row] for row in total])


def plan(counts, others=False):
    k, samples = counts.shape
    full = 2**k - 1
    rows = [[i, full, 1] for i in range(samples)]
    for m in range(k):
        for i in range(samples):
            if counts[m, i]:
                rows.append([i, full ^ 1 << m if others else 1 << m, int(counts[m, i])])
    return sorted(rows)


def sample_level(correct, batch=0):
    phi = contributions(correct)
    k = len(phi)
    by_orderings = agm_formulas.shapley_weights(k)[:, 1:] @ (
        correct * np.array([bin(mask).count("1") for mask in range(1, 2**k)])[:, None])
    close(phi, by_orderings)
    close(phi.sum(axis=0), k * correct[-1])
    counts, below_one = copies(correct, Fraction(9, 10)), copies(correct, Fraction(1))
    rows = plan(counts)
    assert sum(row[2] for row in rows) == correct.shape[1] + counts.sum()
    values = dict(k=k, correct=correct.astype(int), phi=phi, copies=counts, copies_below_one=below_one, plan=rows,
                  mistake_copies_unweighted=far(copies(correct, Fraction(9, 10), False), counts),
                  mistake_plan_others=plan(counts, others=True))
    if k == 2:
        a, v, av = correct[0], correct[1], 2 * correct[2]
        close(phi, np.stack([(a + av - v) / 2, (v + av - a) / 2]))
        values["batch"] = batch
        values["mistake_phi_cached"] = far(np.tile(phi[:, :batch], correct.shape[1] // batch), phi)
    return values


def number(function, alpha, difference, samples):
    """Not yet cut to an integer."""
    x = 2 * difference / 3
    return {"linear": alpha * x, "tanh": np.tanh(alpha * x), "square": alpha * x * np.sqrt(x)}[function] * samples


def modality_level(correct, chosen):
    phi = contributions(correct)
    k, samples = phi.shape
    mean = sum(phi[:, i] for i in chosen) / len(chosen)
    gap = 1 - mean
    difference = max(gap) - min(gap)
    everything = phi.mean(axis=1)
    values = dict(k=k, correct=correct.astype(int), chosen=chosen, mean_phi=mean, gap=gap, draws=[])
    if difference > 0:
        values["present"] = 1 << int(gap.argmax())
        values["mistake_present"] = 1 << int(gap.argmin())
    if k == 2:
        close(difference, abs(mean[0] - mean[1]))
    for function in ("linear", "tanh", "square"):
        for alpha in (1.0, 0.6):
            exact = number(function, alpha, difference, samples)
            assert difference == 0 or 0.02 < exact % 1 < 0.98, "rounding must not decide"
            draw = dict(function=function, alpha=alpha, number=int(exact))
            if k == 2 and difference > 0:
                draw["mistake_number_doubled"] = int(number(function, alpha, 2 * difference, samples))
                assert draw["mistake_number_doubled"] != draw["number"]
            everywhere = max(everything) - min(everything)
            if abs(everywhere - difference) > 0.05:
                draw["mistake_number_all"] = int(number(function, alpha, everywhere, samples))
                assert draw["mistake_number_all"] != draw["number"]
            values["draws"].append(draw)
    return values


def all_tables(k):
    """Every way in which the subsets can be right or wrong, one per sample."""
    return np.array(list(product((0, 1), repeat=2**k - 1))).T


def main():
    rng = np.random.default_rng(SEED)
    two, three = all_tables(2), all_tables(3)
    # Four modalities: the first sample is one whose phi_0 is 11/12.
    four = (rng.random((15, 12)) < 0.5).astype(int)
    for _ in range(4000):
        candidate = (rng.random((15, 1)) < 0.5).astype(int)
        if numerators(candidate)[0, 0] == 22:
            four[:, 0] = candidate[:, 0]
            break
    cases = {"two": sample_level(two[:, rng.permutation(8)], batch=4), "three": sample_level(three),
             "four": sample_level(four)}
    for name in ("two", "three"):
        assert np.array_equal(cases[name]["copies"], cases[name]["copies_below_one"])
    assert cases["four"]["copies"][0, 0] == 0 and cases["four"]["copies_below_one"][0, 0] == 1

    samples = 31
    correct = np.stack([rng.random(samples) < p for p in (0.85, 0.25, 0.8)]).astype(int)
    chosen = [3, 17, 3, 8, 25, 11]
    levels = {
        "first_stronger": modality_level(correct, chosen),
        "second_stronger": modality_level(correct[[1, 0, 2]], chosen),
        "uniform_first": modality_level(np.tile([[1], [0], [1]], 8), [2]),
        "uniform_second": modality_level(np.tile([[0], [1], [0]], 13), [0, 5]),
        "equal": modality_level(np.tile([[1], [1], [1]], 8), [0]),
        "uniform_three": modality_level(np.tile([[1], [1], [0], [0], [1], [0], [1]], 13), [4, 9]),
    }
    assert levels["first_stronger"]["present"] == 2 and levels["second_stronger"]["present"] == 1
    assert len(chosen) == int(0.2 * samples)
    assert all(draw["number"] == 0 for draw in levels["equal"]["draws"]) and "present" not in levels["equal"]
    evaluated = dict(warmup=5, epochs=8, evaluated_after=[4, 5, 6, 7], new_list_in=[5, 6, 7])
    store.write(__file__, dict(seed=SEED, sample_level=cases, modality_level=levels, schedule=evaluated))
    print("two", cases["two"]["phi"].tolist(), cases["two"]["copies"].tolist())
    for name, case in levels.items():
        print(name, "gap", case["gap"], "present", case.get("present"), [draw["number"] for draw in case["draws"]])


if __name__ == "__main__":
    main()
