#!/usr/bin/env python3
"""Oracle of UMT's loss and its gradients, and of UME's predictions. Writes umt.json.

C. Du, J. Teng, T. Li, Y. Liu, T. Yuan, Y. Wang, Y. Yuan, H. Zhao, "On Uni-Modal Feature Learning in Supervised
Multi-Modal Learning", ICML 2023; the mean over all entries and lambda 10 as in BalanceBenchmark.
  UMT: loss = CE(z) + lambda sum_m mean over b and j of (f_m - t_m)^2_bj
f_m [B, d_m] are the features of encoder m, t_m those of the frozen uni-modal teacher of the same sample: no
gradient reaches a teacher, and none but that of CE(z) the fusion.
  UME: the prediction is the mean over the modalities present of the teachers' predictions. Of which quantity
  the mean is taken is open: `probabilities` (softmax of each teacher) or `logits`.

`cases`: per case `lambda`, `features`, `teachers`, `weights` (lists over the modalities), `bias`, `targets`;
z = sum_m f_m W_m^T + b. `joint` = CE(z), `distillation` [k] the means, `loss`, `gradients` of the features,
`gradient_weights`, `gradient_bias`. mistake_loss_summed (sum over all entries), mistake_loss_rows (sum over j,
mean over b), mistake_loss_averaged (mean over the modalities), mistake_gradients_opposite (the gradient that
would reach the teachers, were they not frozen: `teachers` get none).
`ensemble`: `logits` [k, B, C] of the teachers, `probabilities` and `mean_logits` [2^k - 1, B, C], row S - 1 holds
subset S.
"""

import numpy as np

import store
from numeric import close, cross_entropy, cross_entropy_gradient, differences, far, softmax

SEED = 1011
B, C = 5, 4


def joint_logits(features, weights, bias):
    return sum(f @ w.T for f, w in zip(features, weights)) + bias


def distillation(f, t):
    total = 0.0
    for row, teacher in zip(f, t):
        for x, y in zip(row, teacher):
            total += (x - y) ** 2
    return total / f.size


def case(rng, widths, factor):
    features = [rng.standard_normal((B, width)) for width in widths]
    teachers = [f + 0.8 * rng.standard_normal(f.shape) for f in features]
    weights = [rng.standard_normal((C, width)) for width in widths]
    bias, targets = rng.standard_normal(C), rng.integers(0, C, B)

    z = joint_logits(features, weights, bias)
    joint = cross_entropy(z, targets)
    terms = [distillation(f, t) for f, t in zip(features, teachers)]
    loss = joint + factor * sum(terms)
    g = cross_entropy_gradient(z, targets)
    own = [2 * factor / f.size * (f - t) for f, t in zip(features, teachers)]
    gradients = [g @ w + term for w, term in zip(weights, own)]

    for m in range(len(widths)):
        def value(x, m=m):
            shown = [x if n == m else f for n, f in enumerate(features)]
            terms = [((f - t) ** 2).mean() for f, t in zip(shown, teachers)]
            return cross_entropy(joint_logits(shown, weights, bias), targets) + factor * sum(terms)
        close(gradients[m], differences(value, features[m]), 1e-8)

        def of_weight(w, m=m):
            shown = [w if n == m else other for n, other in enumerate(weights)]
            return cross_entropy(joint_logits(features, shown, bias), targets)
        close(g.T @ features[m], differences(of_weight, weights[m]), 1e-8)

    values = {"lambda": factor, "features": features, "teachers": teachers, "weights": weights, "bias": bias,
              "targets": targets, "joint": joint, "distillation": terms, "loss": loss, "gradients": gradients,
              "gradient_weights": [g.T @ f for f in features], "gradient_bias": g.sum(axis=0)}
    if factor > 0:
        sums = [((f - t) ** 2).sum() for f, t in zip(features, teachers)]
        values["mistake_loss_summed"] = far(joint + factor * sum(sums), loss).item()
        values["mistake_loss_rows"] = far(joint + factor * sum(sums) / B, loss).item()
        values["mistake_loss_averaged"] = far(joint + factor * np.mean(terms), loss).item()
        values["mistake_gradients_opposite"] = [-term for term in own]
    return values


def ensemble(rng, k):
    """The last sample: one teacher is sure of class 0, which the others rule out."""
    logits = rng.standard_normal((k, B, C))
    logits[0, -1] = [3.0, 0.0, -1.0, -1.0]
    logits[1:, -1] = [-8.0, 0.0, -0.1, -0.1]
    probabilities, mean_logits = [], []
    for mask in range(1, 2**k):
        members = [m for m in range(k) if mask >> m & 1]
        probabilities.append(sum(softmax(logits[m]) for m in members) / len(members))
        mean_logits.append(sum(logits[m] for m in members) / len(members))
    probabilities, mean_logits = np.stack(probabilities), np.stack(mean_logits)
    close(probabilities.sum(axis=2), np.ones((2**k - 1, B)))
    assert probabilities[-1, -1].argmax() == 0 and mean_logits[-1, -1].argmax() == 1
    return dict(logits=logits, probabilities=probabilities, mean_logits=mean_logits)


def main():
    rng = np.random.default_rng(SEED)
    cases = {"two": case(rng, (3, 2), 10.0), "three": case(rng, (2, 3, 4), 1.0), "no_teacher": case(rng, (3, 2), 0.0)}
    ensembles = {"two": ensemble(rng, 2), "three": ensemble(rng, 3)}
    store.write(__file__, dict(seed=SEED, cases=cases, ensemble=ensembles))
    for name, values in cases.items():
        print(name, "joint", values["joint"], "distillation", values["distillation"], "loss", values["loss"])


if __name__ == "__main__":
    main()
