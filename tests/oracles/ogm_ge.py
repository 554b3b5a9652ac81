#!/usr/bin/env python3
"""Oracle of OGM-GE's coefficients and of the distribution of its noise. Writes ogm_ge.json.

X. Peng, Y. Wei, A. Deng, D. Wang, D. Hu, "Balanced Multimodal Learning via On-the-fly Gradient Modulation",
CVPR 2022, and the authors' code (OGM-GE_CVPR2022). Two modalities, an additive fusion:
  z_m     = W_m f_m + b/2, the share of modality m in the joint logits             [B, C]
  s_m     = sum over the batch of softmax(z_m)[y]
  rho_m   = s_m / s_n, n the other modality
  kappa_m = 1 - tanh(alpha max(rho_m, 0)) if rho_m > 1, else 1
  g       <- kappa_m g + e, e ~ N(0, (std(g) + 1e-8)^2), per entry of a convolution's weight of encoder m
std(g) is taken of the gradient before it is scaled, over all entries of one parameter, unbiased (n - 1). The
noise is added where kappa is 1, too. OGM without GE is the same without e. (A parameter of one entry has no
unbiased deviation; the published code makes it NaN.)

`cases`: per case `shares` [2, B, C], `targets` [B], `s`, `rho` [2], and `kappa` [2] for every alpha. The
case `features` also has the features and the head that the shares come from. `noise`: per gradient g of a
convolution [out, in, h, w] and kappa, `mean` (one for every entry) and `std` (one for all) of the new
gradient.
"""

import numpy as np

import store

SEED = 2022
B, C = 6, 4
ALPHAS = (0.3, 0.8)


def confidence(shares, targets):
    """s_m, sample by sample."""
    total = 0.0
    for z, y in zip(shares, targets):
        e = np.exp(z - z.max())
        total += e[y] / e.sum()
    return total


def kappa(rho, alpha):
    return 1 - np.tanh(alpha * max(rho, 0)) if rho > 1 else 1.0


def case(shares, targets):
    s = np.array([confidence(one, targets) for one in shares])
    rho = np.array([s[0] / s[1], s[1] / s[0]])
    by_alpha = [dict(alpha=alpha, kappa=[kappa(ratio, alpha) for ratio in rho]) for alpha in ALPHAS]
    return dict(shares=shares, targets=targets, s=s, rho=rho, kappas=by_alpha)


def helped(shares, targets, modality, gain):
    """The shares with the right class of one modality raised, so that it becomes the stronger one."""
    changed = shares.copy()
    changed[modality, np.arange(B), targets] += gain
    return changed


def from_features(rng):
    widths = (3, 2)
    features = [rng.standard_normal((B, width)) for width in widths]
    weights = [rng.standard_normal((C, width)) for width in widths]
    bias = rng.standard_normal(C)
    shares = np.stack([f @ w.T + bias / 2 for f, w in zip(features, weights)])
    joint = np.concatenate(features, axis=1) @ np.concatenate(weights, axis=1).T + bias
    np.testing.assert_allclose(shares.sum(axis=0), joint, rtol=0, atol=1e-14)
    return dict(features=features, weights=weights, bias=bias, logits=joint,
                **case(shares, rng.integers(0, C, B)))


def noise(g, kappa_m):
    """Mean of every entry, and the standard deviation that all entries have, of kappa g + e."""
    mean = sum(g.flat) / g.size
    std = np.sqrt(sum((x - mean) ** 2 for x in g.flat) / (g.size - 1)) + 1e-8
    return dict(g=g, kappa=kappa_m, mean=kappa_m * g, std=std)


def main():
    rng = np.random.default_rng(SEED)
    shares, targets = rng.standard_normal((2, B, C)), rng.integers(0, C, B)
    first, second = helped(shares, targets, 0, 4.0), helped(shares, targets, 1, 4.0)
    equal = np.stack([shares[0], shares[0]])
    cases = {
        "first_stronger": case(first, targets),
        "second_stronger": case(second, targets),
        "swapped": case(first[::-1].copy(), targets),
        "equal": case(equal, targets),
        "features": from_features(rng),
    }
    assert cases["first_stronger"]["rho"][0] > 1 and cases["second_stronger"]["rho"][1] > 1
    for one, other in zip(cases["first_stronger"]["kappas"], cases["swapped"]["kappas"]):
        assert one["kappa"] == other["kappa"][::-1] and one["kappa"][0] < 1 and one["kappa"][1] == 1
    assert all(entry["kappa"] == [1, 1] for entry in cases["equal"]["kappas"])
    assert abs(case(np.zeros((2, B, C)), targets)["s"][0] - B / C) < 1e-14

    strong = cases["first_stronger"]["kappas"][1]["kappa"][0]
    g = 0.05 * rng.standard_normal((3, 2, 3, 3)) + 0.01
    noises = [noise(g, strong), noise(g, 1.0), noise(np.full((2, 1, 2, 2), 0.25), strong)]
    np.testing.assert_allclose(noises[0]["std"], g.std(ddof=1) + 1e-8, rtol=1e-14)
    assert noises[2]["std"] == 1e-8, "a constant gradient leaves the floor alone"

    store.write(__file__, dict(seed=SEED, cases=cases, noise=noises))
    for name, values in cases.items():
        print(name, "s", values["s"], "rho", values["rho"], *(entry["kappa"] for entry in values["kappas"]))


if __name__ == "__main__":
    main()
