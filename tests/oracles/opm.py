#!/usr/bin/env python3
"""Oracle of OPM: drop probabilities, masked and rescaled features, loss and gradient. Writes opm.json.

Y. Wei, D. Hu, H. Du, J.-R. Wen, "On-the-fly Modulation for Balanced Multimodal Learning", TPAMI 2024, and the
authors' code (BML_TPAMI2024). Additive fusion; z_m = W_m f_m + b/k is the share of modality m, of the whole batch.
  s_m   = sum over the batch of softmax(z_m)[y]
  rho_m = tanh(max(s_m / s_n - 1, 0)), n the other modality
  q_m   = clip(q_base (1 + lambda rho_m), 0, 1) where rho_m > 0, else 0; a constant, without gradient
With probability p_exe per batch (else nothing is changed), per sample and modality:
  b_m ~ Bernoulli(1 - q_m);   f_m <- b_m f_m / (1 - theta),   theta = sum_m d_m q_m / sum_m d_m
The gradient of f_m is b_m / (1 - theta) times the one that arrives. A sample whose modalities are all dropped
leaves the batch, with its target; a batch of which nothing is left makes no update. The loss is the mean
cross-entropy of the fused features over the samples that are left.
More than two modalities: s_n becomes the mean of the others (`mean`, own extension) or their sum (`sum`, as in
BalanceBenchmark). The weakest modality always has rho = 0: with q from these formulas no sample loses all.

`probabilities`: per case `shares` [k, B, C], `targets`, `s`, `q_base`, `lambda`, `rho`, `q` [k] (k = 3: `rho_sum`,
`q_sum`, too); mistake_rho_alias_01, _10 (s_m is overwritten with the ratio before the next modality divides by it,
in the order 0, 1 and 1, 0), mistake_q_unclipped.
`masked`: per case `features`, `weights` (lists), `bias`, `targets`, `q`, `theta`, `masks` [k, B] (1: kept), `kept`
(ids left), `masked` features of these, `logits`, `loss`, `gradients` of the features [B, d_m] (0 for samples that
left), `gradient_weights`, `gradient_bias`. mistake_theta_plain (mean of q without the widths),
mistake_masked_each (every modality divided by its own 1 - q_m), mistake_loss_all (dropped samples stay),
mistake_loss_targets (targets not dropped with their samples),
mistake_gradients_theta (the published backward returns theta as theta's own gradient, which reaches the features
through q: theta times d theta / d f is added; case `two`).
`warmup`: the published code's epochs without OPM, 0 to 5 (`epoch <= 5`), for its "5".
"""

import numpy as np

import store
from numeric import close, cross_entropy, cross_entropy_gradient, differences, far, softmax

SEED = 7
B, C = 6, 4
Q_BASE, FACTOR, P_EXE = 0.5, 0.5, 0.7


def scores(shares, targets):
    return np.array([sum(softmax(row)[y] for row, y in zip(one, targets)) for one in shares])


def ratios(s, others="mean"):
    rho = []
    for m in range(len(s)):
        rest = [s[n] for n in range(len(s)) if n != m]
        divisor = sum(rest) / len(rest) if others == "mean" else sum(rest)
        rho.append(np.tanh(max(s[m] / divisor - 1, 0)))
    return np.array(rho)


def drop(rho, q_base=Q_BASE, factor=FACTOR):
    return np.array([min(max(q_base * (1 + factor * r), 0), 1) if r > 0 else 0.0 for r in rho])


def aliased(s, order):
    """Each modality's score is replaced by its ratio, and the next one divides by that."""
    s, rho = list(s), [0.0, 0.0]
    for m in order:
        s[m] = s[m] / s[1 - m]
        rho[m] = np.tanh(max(s[m] - 1, 0))
    return rho


def probabilities(shares, targets, q_base=Q_BASE, factor=FACTOR):
    s = scores(shares, targets)
    rho = ratios(s)
    q = drop(rho, q_base, factor)
    values = {"shares": shares, "targets": targets, "s": s, "q_base": q_base, "lambda": factor, "rho": rho, "q": q}
    assert q[s.argmin()] == 0
    if len(s) == 2:
        close(rho, [np.tanh(max(s[0] / s[1] - 1, 0)), np.tanh(max(s[1] / s[0] - 1, 0))])
        if rho.max() > 0 and min(s) ** 2 > 1.2 * max(s):
            for order in ((0, 1), (1, 0)):
                values["mistake_rho_alias_%d%d" % order] = far(aliased(s, order), rho)
    else:
        values["rho_sum"] = ratios(s, "sum")
        values["q_sum"] = drop(values["rho_sum"], q_base, factor)
        far(values["q_sum"], q)
    free = np.array([q_base * (1 + factor * r) if r > 0 else 0.0 for r in rho])
    if free.max() > 1:
        values["mistake_q_unclipped"] = far(free, q)
    return values


def helped(shares, targets, gains):
    """The right class of each modality raised by its gain."""
    changed = shares.copy()
    for m, gain in enumerate(gains):
        changed[m, np.arange(B), targets] += gain
    return changed


def all_shares(features, weights, bias):
    return np.stack([f @ w.T + bias / len(features) for f, w in zip(features, weights)])


def width_mean(q, features):
    widths = [f.shape[1] for f in features]
    return sum(d * x for d, x in zip(widths, q)) / sum(widths)


def masked(features, weights, bias, targets, q, masks):
    k = len(features)
    theta = width_mean(q, features)
    kept = [i for i in range(B) if masks[:, i].any()]
    y = targets[kept]

    def scaled(shown, factors):
        return [(masks[m][:, None] * shown[m] * factors[m])[kept] for m in range(k)]

    def loss_of(shown):
        new = scaled(shown, [1 / (1 - theta)] * k)
        return cross_entropy(sum(f @ w.T for f, w in zip(new, weights)) + bias, y)

    new = scaled(features, [1 / (1 - theta)] * k)
    z = sum(f @ w.T for f, w in zip(new, weights)) + bias
    loss = cross_entropy(z, y)
    close(loss, loss_of(features))
    g = cross_entropy_gradient(z, y)
    gradients = []
    for m in range(k):
        gradient = np.zeros_like(features[m])
        gradient[kept] = g @ weights[m] * masks[m][kept][:, None] / (1 - theta)
        gradients.append(gradient)
        close(gradient, differences(
            lambda x, m=m: loss_of([x if n == m else f for n, f in enumerate(features)]), features[m]), 1e-7)

    values = dict(features=features, weights=weights, bias=bias, targets=targets, q=q, theta=theta,
                  masks=masks.astype(int), kept=kept, masked=new, logits=z, loss=loss, gradients=gradients,
                  gradient_weights=[g.T @ f for f in new], gradient_bias=g.sum(axis=0))
    values["mistake_theta_plain"] = far(np.mean(q), theta).item()
    each = scaled(features, [1 / (1 - x) for x in q])
    far(np.hstack(each), np.hstack(new))
    values["mistake_masked_each"] = each
    if len(kept) < B:
        whole = sum((masks[m][:, None] * features[m] / (1 - theta)) @ weights[m].T for m in range(k)) + bias
        values["mistake_loss_all"] = far(cross_entropy(whole, targets), loss).item()
        values["mistake_loss_targets"] = far(cross_entropy(z, targets[:len(kept)]), loss).item()
    return values


def layers(rng, widths):
    return ([rng.standard_normal((B, width)) for width in widths],
            [rng.standard_normal((C, width)) for width in widths], rng.standard_normal(C))


def main():
    rng = np.random.default_rng(SEED)
    shares, targets = rng.standard_normal((3, B, C)), rng.integers(0, C, B)
    weak = helped(shares[:2], targets, (0, -3))
    cases = {
        "first_stronger": probabilities(helped(shares[:2], targets, (3, 1.5)), targets),
        "second_stronger": probabilities(helped(shares[:2], targets, (1.5, 3)), targets),
        "equal": probabilities(np.stack([shares[0], shares[0]]), targets),
        "clipped": probabilities(weak, targets, 0.9, 0.8),
        "three": probabilities(helped(shares, targets, (2, 1, -1)), targets),
    }
    assert cases["clipped"]["q"][0] == 1 and not cases["equal"]["q"].any()
    assert (cases["three"]["rho"] > 0).sum() == 2, "two modalities above the mean of the others"

    features, weights, bias = layers(rng, (3, 2))
    best = all_shares(features, weights, bias).argmax(axis=2)  # most targets are what the first modality says
    y = np.where(np.arange(B) < B - 2, best[0], best[1])
    own = probabilities(all_shares(features, weights, bias), y)
    masks = np.array([[1, 0, 0, 1, 0, 1], [1, 1, 1, 1, 1, 1]])
    two = masked(features, weights, bias, y, own["q"], masks)
    assert own["q"][0] > 0 and own["q"][1] == 0

    spurious = []
    for m in range(2):
        def theta(x, m=m):
            shown = [x if n == m else f for n, f in enumerate(features)]
            return width_mean(drop(ratios(scores(all_shares(shown, weights, bias), y))), features)
        spurious.append(two["gradients"][m] + two["theta"] * differences(theta, features[m]))
    far(np.hstack(spurious), np.hstack(two["gradients"]))
    two.update(s=own["s"], rho=own["rho"], mistake_gradients_theta=spurious)

    q = np.array([0.6, 0.3, 0.5])
    masks = np.array([[1, 0, 0, 1, 0, 0], [0, 0, 1, 1, 0, 1], [1, 0, 0, 1, 0, 1]])
    dropped = masked(*layers(rng, (3, 2, 4)), rng.integers(0, C, B), q, masks)
    assert dropped["kept"] == [0, 2, 3, 5]
    store.write(__file__, dict(seed=SEED, p_exe=P_EXE, warmup=list(range(6)), probabilities=cases,
                               masked={"two": two, "dropped": dropped}))
    for name, case in cases.items():
        print(name, "s", case["s"], "rho", case["rho"], "q", case["q"],
              *(case.get(f"mistake_rho_alias_{order}") for order in ("01", "10")))
    for name, case in (("two", two), ("dropped", dropped)):
        print(name, "q", case["q"], "theta", case["theta"], "loss", case["loss"])


if __name__ == "__main__":
    main()
