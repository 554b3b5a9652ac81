#!/usr/bin/env python3
"""Oracle of AGM's responses, strengths, coefficients and gradients on given masked logits. Writes agm.json.

Formulas and their source: agm_formulas.py. The responses come from the definition of the Shapley value (the
mean over all orderings) and the gradients from the chain rule through its weights; the closed form of c_S is
only compared with them.

Per case: k, alpha, cap and successive steps, each with `logits` [2^k - 1, B, C] (row S - 1 holds subset S, a
bit mask, modality m = bit m), `targets` [B], `phi` [k, B, C], `l`, `r`, `tau`, `kappa` [k], `c` [2^k - 1] and
`gradient` [2^k - 1, B, C], what reaches each subset's logits.
Cases: `two`, `three`, `four` are named by k; `floor`: probabilities under the floor, then the cap of 10 acts;
`cap`: a cap of 0.5 acts; `identical`: both modalities have the same logits (r = 1, kappa = 1).
`coefficients` holds c_S alone, for k = 2 to 5, also for every kappa 1 (joint training).
"""

import numpy as np

import agm_formulas as agm
import store

SEED = 2023
B, C, STEPS = 5, 4, 4


def pushed_back(k, kappa, g):
    """The gradient of every z_S: each phi_m receives kappa_m g and passes W[m][S] of it on to z_S."""
    weights = agm.shapley_weights(k)
    gradient = np.zeros((2**k - 1, *g.shape))
    for mask in range(1, 2**k):
        for m in range(k):
            gradient[mask - 1] += weights[m, mask] * (kappa[m] * g)
    return gradient


def run(k, steps, alpha=1.5, cap=10.0):
    """A case: `steps` is a list of (logits, targets)."""
    earlier, stored = [], []
    for logits, targets in steps:
        phi = agm.responses(k, logits)
        np.testing.assert_allclose(phi.sum(axis=0), logits[-1], rtol=0, atol=1e-13 * np.abs(logits).max())
        l = agm.losses(phi, targets)
        r, tau, kappa = agm.kappas(l, earlier, alpha, cap)
        if k == 2:
            assert abs(r.prod() - 1) < 1e-12
        g = agm.loss_gradient(logits[-1], targets)
        gradient = pushed_back(k, kappa, g)
        c = agm.coefficients(k, kappa)
        scale = kappa.max() * np.abs(g).max()
        np.testing.assert_allclose(gradient, c[:, None, None] * g, rtol=0, atol=1e-14 * scale)
        earlier.append(l)
        stored.append(dict(logits=logits, targets=targets, phi=phi, l=l, r=r, tau=tau, kappa=kappa, c=c,
                           gradient=gradient))
    return dict(k=k, alpha=alpha, cap=cap, steps=stored)


def random_steps(rng, k, steps=STEPS, scale=1.5):
    return [(scale * rng.standard_normal((2**k - 1, B, C)), rng.integers(0, C, B)) for _ in range(steps)]


def gap_steps(rng):
    """k = 2; modality 0 is sure of the right class, modality 1 of a wrong one (p far under the floor in all
    samples but the last, where it is undecided). In the second step both are undecided."""
    logits, targets = random_steps(rng, 2, 1, 0.5)[0]
    rows = np.arange(B - 1)
    logits[0, rows, targets[:-1]] += 60
    logits[1, rows, (targets[:-1] + 1) % C] += 60
    return [(logits, targets), *random_steps(rng, 2, 1, 0.5)]


def coefficient_cases(rng):
    cases = []
    for k in (2, 3, 4, 5):
        for kappa in (np.ones(k), np.exp(rng.standard_normal(k))):
            by_definition = kappa @ agm.shapley_weights(k)[:, 1:]
            np.testing.assert_allclose(agm.coefficients(k, kappa), by_definition, rtol=0, atol=1e-14)
            cases.append(dict(k=k, kappa=kappa, c=agm.coefficients(k, kappa)))
        assert np.array_equal(cases[-2]["c"], np.eye(2**k - 1)[-1]), "kappa 1: 1 for the full set, else 0"
    return cases


def published_forms(logits):
    """The responses as the authors' code spells them for two and three modalities."""
    if len(logits) == 3:
        a, v, av = logits
        return np.stack([(av - v + a) / 2, (av - a + v) / 2])
    z = dict(zip(("a", "v", "av", "t", "at", "vt", "avt"), logits))
    return np.stack([
        (z["avt"] - z["vt"] + z["a"]) / 3 + (z["at"] - z["t"] + z["av"] - z["v"]) / 6,
        (z["avt"] - z["at"] + z["v"]) / 3 + (z["vt"] - z["t"] + z["av"] - z["a"]) / 6,
        (z["avt"] - z["av"] + z["t"]) / 3 + (z["at"] - z["a"] + z["vt"] - z["v"]) / 6,
    ])


def main():
    rng = np.random.default_rng(SEED)
    cases = {"two": run(2, random_steps(rng, 2)), "three": run(3, random_steps(rng, 3))}
    cases["four"] = run(4, random_steps(rng, 4, 2))
    for case in (cases["two"], cases["three"]):
        for step in case["steps"]:
            np.testing.assert_allclose(step["phi"], published_forms(step["logits"]), rtol=0, atol=1e-13)
        assert np.array_equal(case["steps"][0]["tau"], np.ones(case["k"]))

    cases["floor"] = run(2, gap_steps(rng))
    assert cases["floor"]["steps"][0]["l"][1] > 0.8 * -np.log(agm.FLOOR)
    assert cases["floor"]["steps"][1]["kappa"].max() == np.exp(15.0), "the cap of 10 acts in the second step"

    capped_steps = random_steps(rng, 3)
    cases["cap"] = run(3, capped_steps, cap=0.5)
    free = run(3, capped_steps)
    assert any((a["kappa"] != b["kappa"]).any() for a, b in zip(cases["cap"]["steps"], free["steps"]))
    assert max(step["kappa"].max() for step in cases["cap"]["steps"]) == np.exp(0.75)

    same_logits, targets = random_steps(rng, 2, 1)[0]
    same_logits[1] = same_logits[0]
    cases["identical"] = run(2, [(same_logits, targets)])
    assert np.array_equal(cases["identical"]["steps"][0]["kappa"], np.ones(2))

    swapped = run(2, [(step["logits"][[1, 0, 2]], step["targets"]) for step in cases["two"]["steps"]])
    for one, other in zip(swapped["steps"], cases["two"]["steps"]):
        np.testing.assert_allclose(one["kappa"], other["kappa"][::-1], rtol=1e-12)

    store.write(__file__, dict(seed=SEED, floor=agm.FLOOR, cases=cases, coefficients=coefficient_cases(rng)))
    for name, case in cases.items():
        for step in case["steps"]:
            print(name, "l", step["l"], "r", step["r"], "tau", step["tau"], "kappa", step["kappa"])


if __name__ == "__main__":
    main()
